package sockjs

import (
	"bytes"
	"fmt"
	"strings"
)

// transport is an endpoint that carries frames to a client over HTTP.
type transport endpoint

// name is what clients call it.
func (t transport) name() string {
	switch endpoint(t) {
	case xhrStreaming:
		return "xhr-streaming"
	case eventSource:
		return "eventsource"
	case htmlFile:
		return "htmlfile"
	case jsonp:
		return "jsonp-polling"
	default:
		return "xhr-polling"
	}
}

// streams reports whether an answer carries more than one frame.
func (t transport) streams() bool { return endpoint(t) != xhr && endpoint(t) != jsonp }

// hasCallback reports whether the client names a function that its frames are given to.
func (t transport) hasCallback() bool { return endpoint(t) == htmlFile || endpoint(t) == jsonp }

func (t transport) contentType() string {
	switch endpoint(t) {
	case eventSource:
		return "text/event-stream" // Opera wants no charset
	case htmlFile:
		return "text/html; charset=UTF-8"
	default:
		return "application/javascript; charset=UTF-8"
	}
}

// htmlHead is the page of htmlfile as far as frames follow. Browsers show nothing before
// they have a kilobyte.
const htmlHead = `<!doctype html>
<html><head>
  <meta http-equiv="X-UA-Compatible" content="IE=edge" />
  <meta http-equiv="Content-Type" content="text/html; charset=UTF-8" />
</head><body><h2>Don't panic!</h2>
  <script>
    document.domain = document.domain;
    var c = parent.%s;
    c.start();
    function p(d) {c.message(d);};
    window.onload = function() {c.stop();};
  </script>`

// Lengths of what makes browsers take a stream seriously, in bytes.
const (
	xhrPrelude  = 2048
	htmlPrelude = 1024
)

// prelude is what a stream begins with.
func (t transport) prelude(callback string) []byte {
	switch endpoint(t) {
	case eventSource:
		return []byte("\r\n")
	case htmlFile:
		head := fmt.Sprintf(htmlHead, callback)
		return []byte(head + strings.Repeat(" ", max(0, htmlPrelude-len(head))) + "\r\n\r\n")
	default:
		return append(bytes.Repeat([]byte(frameHeartbeat), xhrPrelude), '\n')
	}
}

// wrap returns a frame as it stands in the answer.
func (t transport) wrap(o outgoing, callback string) []byte {
	if !t.escapes() {
		return append(o.append(make([]byte, 0, o.len()+1)), '\n')
	}
	frame := o.frame()
	dst := make([]byte, 0, len(frame)+len(frame)/8+64)
	switch endpoint(t) {
	case eventSource:
		dst = appendEventData(append(dst, "data: "...), frame)
		return append(dst, "\r\n\r\n"...)
	case htmlFile:
		dst = appendScriptQuoted(append(dst, "<script>\np("...), frame)
		return append(dst, ");\n</script>\r\n"...)
	default: // jsonp
		dst = append(append(append(dst, "/**/"...), callback...), '(')
		return append(appendScriptQuoted(dst, frame), ");\r\n"...)
	}
}

// escapes reports whether a frame cannot stand as it is.
func (t transport) escapes() bool { return t.hasCallback() || endpoint(t) == eventSource }

// appendEventData escapes what clients decode as they do URLs. Nothing else that they
// might stumble over is in a frame.
func appendEventData(dst, frame []byte) []byte {
	for {
		i := bytes.IndexByte(frame, '%')
		if i < 0 {
			return append(dst, frame...)
		}
		dst = append(append(dst, frame[:i]...), "%25"...)
		frame = frame[i+1:]
	}
}
