package thinkws

import "net/http"

// OriginPolicy shows the origin gate to the tests.
type OriginPolicy struct{ p *originPolicy }

// OriginVerdict is an originVerdict that tests can read.
type OriginVerdict struct {
	Allowed, Malformed bool
	Origin, Reason     string
	Set                string
	Status             int
	v                  originVerdict
}

func NewOriginPolicy(patterns []string, check func(*http.Request, string) (bool, error), require bool) (OriginPolicy, error) {
	p, err := newOriginPolicy(patterns, check, require)
	return OriginPolicy{p}, err
}

// OriginPolicyOf applies options as New does; nested puts them inside a Namespace.
func OriginPolicyOf(nested bool, options ...Option) (OriginPolicy, error) {
	main := &spec{name: "/"}
	b := &builder{cfg: &config{}, main: main, spec: main}
	if nested {
		b.spec = &spec{name: "/nested"}
	}
	for _, option := range options {
		if err := option(b); err != nil {
			return OriginPolicy{}, err
		}
	}
	p, err := NewOriginPolicy(b.cfg.origins, b.cfg.originFunc, b.cfg.requireOrigin)
	if err == nil {
		p.p.proxies = b.cfg.proxies
	}
	return p, err
}

func (p OriginPolicy) Judge(r *http.Request) OriginVerdict { return p.decide(r, evidenceNone) }

func (p OriginPolicy) JudgeEmbedded(r *http.Request) OriginVerdict {
	return p.decide(r, evidenceEmbedded)
}

func (p OriginPolicy) decide(r *http.Request, want evidence) OriginVerdict {
	var v originVerdict
	p.p.decide(r, want, &v)
	return OriginVerdict{v.allowed, v.malformed, v.origin, v.reason, v.set, v.status(), v}
}

func (p OriginPolicy) SetCORS(h http.Header, r *http.Request, v OriginVerdict) {
	p.p.setCORS(h, r, &v.v)
}

func (p OriginPolicy) Preflight(w http.ResponseWriter, r *http.Request, v OriginVerdict) {
	p.p.preflight(w, r, &v.v)
}

func IsPreflight(r *http.Request) bool { return isPreflight(r) }

// CanonicalOrigin is how the gate writes an origin, "" if it reads none.
func CanonicalOrigin(s string) string {
	o, err := parseOrigin(s)
	if err != nil {
		return ""
	}
	return o.String()
}
