package sockjs

import "slices"

// endpoint is what a request is for.
type endpoint uint8

// The endpoints, by what their paths end in.
const (
	nowhere      endpoint = iota
	greeting              // base
	info                  // base/info
	iframe                // base/iframe….html
	rawWebSocket          // base/websocket
	webSocket             // base/server/session/websocket, and so on
	xhr
	xhrStreaming
	xhrSend
	eventSource
	htmlFile
	jsonp
	jsonpSend
)

// traits are what there is to know of an endpoint.
type traits struct {
	segment  string   // the last one of its path, if it is one of a session
	allow    []string // the methods that it takes
	embedded bool     // a page can load it without a word from CORS and without an Origin

	// Of those that carry frames to a client over HTTP.
	transport string // what clients call it
	kind      string // the Content-Type of answers
	streams   bool   // an answer carries more than one frame
	callback  bool   // the client names a function that its frames are given to
}

const script = "application/javascript; charset=UTF-8"

var endpoints = [...]traits{
	greeting:     {allow: []string{"GET"}},
	info:         {allow: []string{"OPTIONS", "GET"}},
	iframe:       {allow: []string{"GET"}, embedded: true},
	rawWebSocket: {allow: []string{"GET"}},
	webSocket:    {allow: []string{"GET"}, segment: "websocket"},
	xhr:          {allow: []string{"POST", "OPTIONS"}, segment: "xhr", transport: "xhr-polling", kind: script},
	xhrStreaming: {allow: []string{"POST", "OPTIONS"}, segment: "xhr_streaming", transport: "xhr-streaming", kind: script, streams: true},
	xhrSend:      {allow: []string{"POST", "OPTIONS"}, segment: "xhr_send"},
	eventSource:  {allow: []string{"GET"}, segment: "eventsource", transport: "eventsource", kind: "text/event-stream", streams: true}, // Opera wants no charset
	htmlFile:     {allow: []string{"GET"}, segment: "htmlfile", embedded: true, transport: "htmlfile", kind: "text/html; charset=UTF-8", streams: true, callback: true},
	jsonp:        {allow: []string{"GET"}, segment: "jsonp", embedded: true, transport: "jsonp-polling", kind: script, callback: true},
	jsonpSend:    {allow: []string{"POST"}, segment: "jsonp_send", embedded: true},
}

func (e endpoint) traits() *traits { return &endpoints[e] }

// bySegment returns the endpoint of a session with this last segment of its path.
func bySegment(segment string) endpoint {
	return endpoint(max(0, slices.IndexFunc(endpoints[:], func(t traits) bool { return segment != "" && t.segment == segment })))
}

// takes reports whether an endpoint takes a method.
func (e endpoint) takes(method string) bool { return slices.Contains(e.traits().allow, method) }

// hasCORS reports whether scripts of other origins may read the answers: where they may ask by a preflight, and of
// EventSource.
func (e endpoint) hasCORS() bool { return e.takes("OPTIONS") || e == eventSource }

// isHTTP reports whether an endpoint is one of a session over HTTP.
func (e endpoint) isHTTP() bool { return e >= xhr }
