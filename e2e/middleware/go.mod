module github.com/seed-ce09063a/thinkws/e2e/middleware

go 1.26.0

replace github.com/seed-ce09063a/thinkws => ../..

require (
	github.com/go-chi/chi/v5 v5.5.0
	github.com/rs/cors v1.11.1
	github.com/seed-ce09063a/thinkws v0.0.0
	github.com/unrolled/secure v1.18.0
)

require (
	github.com/coder/websocket v1.8.15 // indirect
	golang.org/x/sys v0.48.0 // indirect
)
