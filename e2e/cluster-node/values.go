package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/seed-ce09063a/thinkws"
)

// values makes arguments for Emit. What JSON cannot say is marked: {"$bin":"base64"}. {"$json":"text"} is
// that text.
func values(args []json.RawMessage) ([]any, error) {
	list := make([]any, len(args))
	for i, arg := range args {
		var v any
		if err := json.Unmarshal(arg, &v); err != nil {
			return nil, err
		}
		var err error
		if list[i], err = revive(v); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func revive(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case []any:
		for i := range v {
			if v[i], err = revive(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		if text, ok := v["$bin"].(string); ok {
			return base64.StdEncoding.DecodeString(text)
		}
		if text, ok := v["$json"].(string); ok {
			return json.RawMessage(text), nil
		}
		for key := range v {
			if len(key) > 0 && key[0] == '$' {
				return nil, fmt.Errorf("what is %s?", key)
			}
			if v[key], err = revive(v[key]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

// member is a client as sockets lists it.
type member struct {
	ID      string            `json:"id"`
	Rooms   []string          `json:"rooms"`
	Data    json.RawMessage   `json:"data"`
	Auth    json.RawMessage   `json:"auth"`
	Headers map[string]string `json:"headers"`
	Query   map[string]string `json:"query"`
	Address string            `json:"address"`
}

// listing is what is known of clients.
type listing struct {
	Sockets []member `json:"sockets"`
	Nodes   int      `json:"nodes"` // that are missing
	Error   string   `json:"error,omitempty"`
}

// listed tells apart what is missing from what has failed.
func listed(members []thinkws.Member, err error) (*listing, error) {
	l := &listing{Sockets: membersOf(members)}
	if missing, ok := errors.AsType[*thinkws.NodesError](err); ok {
		l.Nodes, l.Error = missing.Count, err.Error()
		return l, nil
	}
	return l, err
}

func membersOf(members []thinkws.Member) []member {
	list := make([]member, len(members))
	for i, m := range members {
		r := m.Request()
		list[i] = member{ID: m.ID, Rooms: m.Rooms, Data: m.Data, Auth: m.Auth, Address: m.RemoteAddr,
			Headers: map[string]string{}, Query: map[string]string{}}
		for key := range r.Header {
			list[i].Headers[key] = r.Header.Get(key)
		}
		for key := range r.URL.Query() {
			list[i].Query[key] = r.URL.Query().Get(key)
		}
	}
	return list
}
