package load

// Bridge to what the tests look at from outside.
var (
	ClientFrame   = clientFrame
	ServerFrame   = serverFrame
	ContentLength = contentLength
)

// Heard is what a Dialect makes of a message.
func (d *Dialect) Heard(payload string) (events int, answer string, over bool) {
	m := d.hear([]byte(payload))
	return m.events, m.answer, m.over
}
