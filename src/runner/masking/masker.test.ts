import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createMasker } from './masker.ts'

test('a secret under six bytes is not masked, and a warning names it', () => {
  const masker = createMasker([{ name: 'PIN', value: '12345' }, 'abc', '   \n\n   ', 'sixsix'])
  assert.deepEqual(
    masker.warnings.map((warning) => warning.split(' and ')[0]),
    ['Secret "PIN" has 5 bytes', 'Secret 2 has 3 bytes', 'Secret 3 has 0 bytes'],
  )
  assert.equal(masker.maskText('12345 abc sixsix'), '12345 abc ***')
  assert.ok(!masker.warnings.join().includes('12345'))
})

test('without a secret everything passes unchanged', () => {
  const masker = createMasker([])
  const stream = masker.stream()
  const bytes = Buffer.from('text')
  assert.equal(stream.push(bytes), bytes)
  assert.equal(stream.end().length, 0)
  assert.equal(masker.maskText('text'), 'text')
})

test('a chunk without any possible secret passes without a copy', () => {
  const bytes = Buffer.from('some line\n')
  const out = createMasker(['hunter22']).stream().push(bytes)
  assert.equal(out.buffer, bytes.buffer)
  assert.equal(out.toString(), 'some line\n')
})

test('a line is passed on when it ends, and only a possible start of a secret is withheld', () => {
  const stream = createMasker(['hunter22']).stream()
  assert.equal(stream.push(Buffer.from('Password: ')).toString(), 'Password: ')
  assert.equal(stream.push(Buffer.from('hunt')).toString(), '')
  assert.equal(stream.push(Buffer.from('ers\n')).toString(), 'hunters\n')
  assert.equal(stream.push(Buffer.from('is hunter22')).toString(), 'is ***')
  assert.equal(stream.push(Buffer.from(' hun')).toString(), ' ')
  assert.equal(stream.end().toString(), 'hun')
  assert.equal(stream.end().toString(), '')
})

test('the streams of a masker are independent', () => {
  const masker = createMasker(['hunter22'])
  const [one, other] = [masker.stream(), masker.stream()]
  assert.equal(one.push(Buffer.from('hunt')).toString(), '')
  assert.equal(other.push(Buffer.from('er22\n')).toString(), 'er22\n')
  assert.equal(one.push(Buffer.from('er22\n')).toString(), '***\n')
})

test("a large output has the same bytes for any chunks, and withholds no more than a secret's length", () => {
  const secrets = ['hunter22', 'a'.repeat(300), `${'k'.repeat(70)}\n${'l'.repeat(70)}`]
  const masker = createMasker(secrets)
  const lines = Array.from(
    { length: 30_000 },
    (_, n) => `line ${n} ${n % 7 === 0 ? secrets[n % 3] : 'of text'}\n`,
  )
  const text = Buffer.from(lines.join('') + 'a'.repeat(100_000) + 'b'.repeat(100_000))
  const expected = masker.maskText(text.toString())
  for (const size of [1_000, 65_536, 65_537, text.length]) {
    const stream = masker.stream()
    const parts: Buffer[] = []
    for (let at = 0; at < text.length; at += size) parts.push(stream.push(text.subarray(at, at + size)))
    const rest = stream.end()
    assert.ok(rest.length <= 600)
    assert.equal(Buffer.concat([...parts, rest]).toString(), expected)
  }
  assert.ok(!expected.includes('hunter22') && expected.includes('*** b') === false && expected.endsWith('b'))
})

test('bytes that are not UTF-8 pass through', () => {
  const stream = createMasker(['hunter22']).stream()
  const bytes = Buffer.from([0xff, 0, 0xfe, 0x80, 0x0a, 0xc3])
  assert.deepEqual(
    Buffer.concat([stream.push(bytes), stream.push(Buffer.from('hunter22')), stream.end()]),
    Buffer.concat([bytes, Buffer.from('***')]),
  )
})

test('all texts of a JSON value are masked, and nothing else in it', () => {
  const masker = createMasker(['hunter22', '123456'])
  const report = {
    type: 'ended',
    pid: 123456,
    message: 'exit of hunter22',
    exports: { TOKEN: 'hunter22', N: '123456' },
    list: ['hunter22', null, true, undefined],
  }
  assert.deepEqual(masker.maskJson(report), {
    type: 'ended',
    pid: 123456,
    message: 'exit of ***',
    exports: { TOKEN: '***', N: '***' },
    list: ['***', null, true, undefined],
  })
})

test('text designed to slow the masker down is masked quickly', () => {
  // Every byte ends a match of 5,000; if each were checked from its start, this would take minutes.
  const masker = createMasker(['ab'.repeat(2_500), 'a'.repeat(5_000)])
  assert.equal(masker.maskText('a'.repeat(500_000)), '***')
  assert.equal(masker.maskText('ab'.repeat(250_000)), '***')
})
