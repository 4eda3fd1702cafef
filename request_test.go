package thinkws_test

import (
	"errors"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
)

// FormValue parses the query into the request. The handshake is shared by the namespaces of a client, and
// two that parse it at a time would write to one map, which ends the process.
func TestHandshakesMayBeParsedByEveryNamespace(t *testing.T) {
	parse := func(r *http.Request) {
		assert.Nil(t, r.Form, "nobody else has parsed this one")
		assert.Equal(t, "websocket", r.FormValue("transport"))
	}
	var both sync.WaitGroup
	both.Add(2)
	s := newSite(t,
		thinkws.NamespaceFunc(func(_ string, r *http.Request) bool { parse(r); return true },
			thinkws.Authorize(func(c *thinkws.Context) error {
				r := c.Request()
				both.Done()
				both.Wait()
				parse(r)
				return nil
			}),
			thinkws.On("all", func(c *thinkws.Context) error {
				members, err := c.Others().Sockets(c.Context())
				for _, m := range append(members, thinkws.Member{Request: c.Websocket().Request}) {
					parse(m.Request())
				}
				return errors.Join(err, c.Ack(1))
			})))
	for _, target := range []string{io4, io3} {
		ws := s.upgrade(target + "websocket&hasty")
		ws.send("40/a,")
		ws.send("40/b,")
		if target == io4 {
			ws.expect("0{")
		} else {
			ws.expect("0{", "40")
		}
		ws.read()
		ws.read()
		ws.send(`42/a,1["all"]`)
		ws.expect("43/a,1[1]")
		require.NoError(t, ws.conn.Close())
		both.Add(2)
	}
}
