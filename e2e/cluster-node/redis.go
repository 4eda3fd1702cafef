package main

import (
	"cmp"
	"flag"
	"os"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// redisFlags select the form of Redis: one server, one that Sentinels name, or a Cluster.
type redisFlags struct {
	url       string
	sentinels string
	master    string
	cluster   string
	user      string
	password  string
}

func (f *redisFlags) define() {
	flag.StringVar(&f.url, "redis", cmp.Or(os.Getenv("REDIS_URL"), "redis://127.0.0.1:6379"), "the `URL` of the Redis; or REDIS_URL")
	flag.StringVar(&f.sentinels, "sentinels", "", "the `addresses` of Sentinels, separated by commas, instead of -redis")
	flag.StringVar(&f.master, "master", "", "the name under which the Sentinels know the master")
	flag.StringVar(&f.cluster, "redis-cluster", "", "the `addresses` of nodes of a Redis Cluster, instead of -redis")
	flag.StringVar(&f.user, "user", "", "the user of Redis; its password can be changed later")
	flag.StringVar(&f.password, "password", "", "its password")
}

// credentials are what new connections to Redis log in with.
type credentials struct {
	mu       sync.Mutex // protects user and password
	user     string
	password string
}

func (c *credentials) get() (user, password string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.user, c.password
}

func (c *credentials) setPassword(password string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.password = password
}

// client returns a client of the form that the flags name. It asks login for the credentials of
// each new connection.
func (f *redisFlags) client(login *credentials) (redis.UniversalClient, error) {
	switch {
	case f.sentinels != "":
		return redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: f.master, SentinelAddrs: strings.Split(f.sentinels, ","),
		}), nil
	case f.cluster != "":
		return redis.NewClusterClient(&redis.ClusterOptions{Addrs: strings.Split(f.cluster, ",")}), nil
	}
	o, err := redis.ParseURL(f.url)
	if err != nil {
		return nil, err
	}
	if f.user != "" {
		o.CredentialsProvider = login.get
	}
	return redis.NewClient(o), nil
}
