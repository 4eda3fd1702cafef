package redisbus_test

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/seed-ce09063a/thinkws"
)

// choices decides what a random value is: bytes of a fuzzer, or of a seed. Behind the end all are 0.
type choices []byte

func (c *choices) next(n int) int {
	if len(*c) == 0 {
		return 0
	}
	b := (*c)[0]
	*c = (*c)[1:]
	return int(b) % n
}

// values writes JSON with binary parts at any place.
type values struct {
	*choices
	args thinkws.Payload
	left int // bytes that large values may still have
}

// maxNested is how deep chains of random values are: deeper than any client's by default.
const maxNested = 600

// randomPayload makes one to four values of choices, with size bytes or some more.
func randomPayload(c *choices, size int) thinkws.Payload {
	v := values{choices: c, left: size}
	v.args.Count = 1 + v.next(4)
	for i := range v.args.Count {
		if i > 0 {
			v.write(",")
		}
		v.space()
		v.value(12)
		v.space()
	}
	return v.args
}

func (v *values) write(text string) { v.args.Text = append(v.args.Text, text...) }

func (v *values) space() {
	if v.next(16) == 15 {
		v.write([]string{" ", "\n", "\t", "\r", "  \r\n"}[v.next(5)])
	}
}

func (v *values) value(depth int) {
	kind := v.next(12)
	if len(*v.choices) == 0 || depth == 0 && kind > 7 {
		kind %= 8
	}
	switch kind {
	case 0:
		v.write([]string{"null", "true", "false"}[v.next(3)])
	case 1, 2:
		v.number()
	case 3, 4:
		v.str()
	case 5, 6:
		v.part()
	case 7:
		v.write([]string{"[]", "{}", `{"_placeholder":true,"num":0}`, `{"_placeholder":true}`, `[{"num":0}]`}[v.next(5)])
	case 8:
		v.chain()
	case 9:
		v.flat()
	case 10:
		v.list('[', ']', depth)
	default:
		v.list('{', '}', depth)
	}
}

func (v *values) list(begin, end byte, depth int) {
	v.write(string(begin))
	for i := range []int{0, 1, 2, 3, 5, 15, 16, 17}[v.next(8)] {
		if i > 0 {
			v.write(",")
		}
		v.space()
		if begin == '{' {
			v.key(i)
			v.write(":")
			v.space()
		}
		v.value(depth - 1)
		v.space()
	}
	v.write(string(end))
}

func (v *values) key(i int) {
	switch v.next(4) {
	case 0:
		v.write(strconv.Quote(fmt.Sprint("k", i)))
	case 1:
		v.write([]string{`""`, `"__proto__"`, `"constructor"`, `"toJSON"`, `"length"`, `"0"`, `"-1"`, `"\ud800"`, `"\u0000"`, `"__\u0070roto__"`, `"then"`}[v.next(11)])
	case 2:
		v.write(`"twice"`)
	default:
		v.str()
	}
}

// chain nests a value.
func (v *values) chain() {
	n := min(1+v.next(256)*3, maxNested-20)
	keyed, broad := v.next(2) == 1, v.next(4) == 3
	if keyed {
		v.write(strings.Repeat(`{"":`, n))
	} else {
		v.write(strings.Repeat("[", n))
	}
	v.value(0)
	end := map[bool]string{true: "}", false: "]"}[keyed]
	if broad && !keyed {
		end = strings.Repeat(",0", 17) + end
	}
	v.write(strings.Repeat(end, n))
}

// flat is one long value.
func (v *values) flat() {
	n := min([]int{15, 16, 255, 256, 4096, 65_535, 65_536, 300_000}[v.next(8)], v.left)
	v.left -= n
	switch v.next(5) {
	case 0:
		v.write("[" + strings.TrimSuffix(strings.Repeat("-0,", n), ",") + "]")
	case 1:
		members := make([]string, n)
		for i := range members {
			members[i] = strconv.Quote(strconv.Itoa(i)) + ":" + strconv.Itoa(i*i)
		}
		v.write("{" + strings.Join(members, ",") + "}")
	case 2:
		v.write(`"` + strings.Repeat("x", n) + `"`)
	case 3:
		v.write(`"` + strings.Repeat(`ü\ud800`, n) + `"`)
	default:
		v.args.Parts = append(v.args.Parts, thinkws.Part{At: len(v.args.Text), Data: make([]byte, n)})
	}
}

// hardNumbers are at the edges of what the forms on the wire hold.
var hardNumbers = strings.Fields(`0 -0 1 -1 1.0 0.1 -0.0 1e2 1E+2 1e-2 127 128 255 256 -32 -33 -128 -129 32767 32768 65535 65536 -32768 -32769
	2147483647 2147483648 4294967295 4294967296 -2147483648 -2147483649 9007199254740991 9007199254740992 9007199254740993
	-9007199254740993 9223372036854775807 9223372036854775808 -9223372036854775808 -9223372036854775809 18446744073709551615
	18446744073709551616 123456789012345678901234567890 1e20 1e21 1e22 1e-7 1e-6 5e-324 2.2250738585072014e-308 1e-400 -1e-400
	1.7976931348623157e308 1.7976931348623159e308 1e400 -1e400 1e308 4.35 0.30000000000000004 -0e0 0e9 100000000000000000000.5`)

func (v *values) number() {
	if v.next(2) == 0 {
		v.write(hardNumbers[v.next(len(hardNumbers))])
		return
	}
	if v.next(2) == 0 {
		v.write("-")
	}
	v.write(strconv.Itoa(1 + v.next(9)))
	v.digits()
	if v.next(2) == 0 {
		v.write("." + strconv.Itoa(v.next(10)))
		v.digits()
	}
	if v.next(4) == 0 {
		v.write([]string{"e", "E", "e-", "E+"}[v.next(4)] + strconv.Itoa(v.next(256)))
	}
}

func (v *values) digits() {
	for range v.next(20) {
		v.write(strconv.Itoa(v.next(10)))
	}
}

var hardTexts = []string{
	"", "a", "ä", "€", "😀", `\ud800`, `\udfff`, `\ud83d\ude00`, `\ude00\ud83d`, `\ud800\ud800\udc00`, `\ud83d\\ude00`, `\u0000`, `\n`, `\"`, `\\`, `\/`,
	`\b\f\r\t`, "\u2028", "\u2029", "\ufeff", "\ufffd", `\uFFFF`, "\u007f", "<&>", "\U0010ffff", `\uD83D\uDE00`, "_placeholder", "a\u0301", `\ud83dx`, `\ud83d😀`,
}

func (v *values) str() {
	v.write(`"`)
	for range v.next(4) {
		v.write(hardTexts[v.next(len(hardTexts))])
	}
	if v.next(8) == 7 {
		v.write(strings.Repeat("x", []int{29, 30, 31, 32, 33, 253, 254, 255, 256}[v.next(9)]))
	}
	v.write(`"`)
}

func (v *values) part() {
	data := make([]byte, []int{0, 0, 1, 2, 3, 31, 32, 255, 256}[v.next(9)])
	for i := range data {
		data[i] = byte(i + v.next(256))
	}
	v.args.Parts = append(v.args.Parts, thinkws.Part{At: len(v.args.Text), Data: data})
}
