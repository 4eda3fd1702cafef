// Command chat is one room with four kinds of client side by side on one page: a
// Socket.IO 4 client, a Socket.IO 2 client, a SockJS client and a native WebSocket.
//
// The native panel works as it is. The other three need Node's client files; `make demo`
// at the top of the repository installs them and starts this program.
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/seed-ce09063a/thinkws"
)

//go:embed index.html style.css chat.js
var page embed.FS

func main() {
	addr := flag.String("addr", ":8360", "address to listen on")
	origins := flag.String("origin", "", "origins that may connect, separated by commas; empty: any")
	clients := flag.String("clients", "e2e/node_modules", "directory of npm packages that holds socket.io-client, socket.io-client-v2 and sockjs-client")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *addr, *origins, *clients)
	stop()
	if err != nil {
		slog.Error("chat ended", "err", err)
		os.Exit(1)
	}
}

// run serves the chat until ctx is done.
func run(ctx context.Context, addr, origins, clients string) error {
	options := append(newRoom().options(),
		thinkws.WithMaxMessage(4<<20), // pictures
		thinkws.WithSendQueue(16<<20),
		thinkws.WithSockJS(thinkws.SockJSOptions{ClientURL: "/sockjs-client/sockjs.min.js"}),
	)
	v4 := os.DirFS(filepath.Join(clients, "socket.io-client", "dist"))
	if _, err := fs.Stat(v4, "socket.io.js"); err == nil {
		options = append(options, thinkws.WithClient(v4)) // /socket.io/socket.io.js
	}
	if origins != "" {
		options = append(options, thinkws.WithAllowOrigin(strings.Split(origins, ",")...))
	}
	ws, err := thinkws.New(options...)
	if err != nil {
		return err
	}

	r := chi.NewRouter()
	r.Mount("/socket.io", ws)       // Socket.IO clients, 2.x and 4.x
	r.Mount("/sockjs", ws.SockJS()) // SockJS clients, over any of their transports
	r.Mount("/ws", ws.WebSocket())  // native WebSockets
	for path, name := range map[string]string{"/socket.io-2": "socket.io-client-v2", "/sockjs-client": "sockjs-client"} {
		files := os.DirFS(filepath.Join(clients, name, "dist"))
		r.Handle(path+"/*", http.StripPrefix(path, http.FileServerFS(files)))
	}
	r.Handle("/*", http.FileServerFS(page))

	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: r, ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		stopped <- shutdown(ws, server)
	}()
	slog.Info("chat is ready", "url", "http://"+browsable(listener.Addr()))
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}

// shutdown lets the clients go first: http.Server does not know of WebSockets.
func shutdown(ws *thinkws.Handler, server *http.Server) error {
	// Shutdown waits five seconds for a connection on which nothing was sent. Browsers open such connections.
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return errors.Join(ws.Shutdown(ctx), server.Shutdown(ctx))
}

// browsable names an address so that a browser on this machine finds it.
func browsable(addr net.Addr) string {
	if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsUnspecified() {
		return net.JoinHostPort("localhost", strconv.Itoa(tcp.Port))
	}
	return addr.String()
}
