package redisbus_test

import (
	"context"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/seed-ce09063a/thinkws"
	"github.com/seed-ce09063a/thinkws/redisbus"
)

// BenchmarkPublish publishes 200 bytes to three nodes from one of them, in pipelines and
// one by one, and counts what Redis's process spends on it.
func BenchmarkPublish(b *testing.B) {
	for name, options := range map[string][]redisbus.Option{"batched": nil, "one by one": {redisbus.OneByOne()}} {
		b.Run(name, func(b *testing.B) { benchmarkPublish(b, options) })
	}
}

func benchmarkPublish(b *testing.B, options []redisbus.Option) {
	client := clientOf(b, shared)
	options = append(options, redisbus.WithPrefix("bench"))
	a := open(b, client, &hub{}, options...)
	var delivered atomic.Int64
	for range 2 {
		open(b, client, &hub{answer: func(*thinkws.Envelope, func(*thinkws.Envelope)) { delivered.Add(1) }}, options...)
	}
	text := []byte(`"` + strings.Repeat("x", 200) + `"`)
	e := &thinkws.Envelope{Kind: thinkws.BusEmit, Namespace: "/", Event: "e", Args: thinkws.Payload{Text: text, Count: 1}}
	before := redisCPU(b, client)
	b.ReportAllocs()
	for b.Loop() {
		for a.Publish(e) != nil { // the outbox is full
			time.Sleep(time.Millisecond)
		}
	}
	all := int64(2 * b.N)
	for deadline := time.Now().Add(time.Minute); delivered.Load() < all && time.Now().Before(deadline); {
		time.Sleep(100 * time.Microsecond)
	}
	require.Equal(b, all, delivered.Load())
	seconds := b.Elapsed().Seconds()
	b.ReportMetric(float64(b.N)/seconds, "publishes/s")
	b.ReportMetric(float64(all)/seconds, "deliveries/s")
	b.ReportMetric(1e6*(redisCPU(b, client)-before)/float64(b.N), "redis-µs/message")
}

// redisCPU is the CPU time of Redis's process, in seconds.
func redisCPU(b *testing.B, client *redis.Client) float64 {
	info, err := client.Info(context.Background(), "cpu").Result()
	require.NoError(b, err)
	sum := 0.0
	for line := range strings.Lines(info) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if key == "used_cpu_sys" || key == "used_cpu_user" {
			n, err := strconv.ParseFloat(value, 64)
			require.NoError(b, err)
			sum += n
		}
	}
	return sum
}
