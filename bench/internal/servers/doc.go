// Package servers has the servers that are measured, each to be run in a process of
// its own by [Run]. Those that do not speak Socket.IO get its bytes as raw messages: they
// broadcast what begins with 42["b" to the client's room and send back everything else.
package servers
