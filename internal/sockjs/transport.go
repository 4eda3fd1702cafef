package sockjs

import (
	"bytes"
	"fmt"
	"strings"
)

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
func (e endpoint) prelude(callback string) []byte {
	switch e {
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
func (e endpoint) wrap(o outgoing, callback string) []byte {
	if !e.escapes() {
		return append(o.append(make([]byte, 0, o.len()+1)), '\n')
	}
	frame := o.frame()
	dst := make([]byte, 0, len(frame)+len(frame)/8+64)
	switch e {
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
func (e endpoint) escapes() bool { return e.traits().callback || e == eventSource }

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
