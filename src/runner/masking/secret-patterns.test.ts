import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { posix } from 'node:path'
import { test } from 'node:test'
import { createMasker } from './masker.ts'

const secrets = [
  'hunter',
  'a b+c/d=e&f?g',
  '"quoted\\and\'more<tags>"',
  'pässwörd→€😀',
  'tab\there\u0001\u007f',
  '>>>>????~~~~',
  '%41%42%43',
  'line one of it\nline two of it\r\nline three',
  randomBytes(40).toString('base64'),
]
const rsaKey = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  publicKeyEncoding: { type: 'spki', format: 'pem' },
}).privateKey

/** Real encoders, each for a text that contains nothing else. */
const encoders: Record<string, (secret: string) => string> = {
  'as it is': (secret) => secret,
  'with CRLF': (secret) => secret.replaceAll(/\r?\n/g, '\r\n'),
  base64: (secret) => Buffer.from(secret).toString('base64'),
  'base64 without padding': (secret) => Buffer.from(secret).toString('base64').replace(/=+$/, ''),
  'base64 for URLs': (secret) => Buffer.from(secret).toString('base64url'),
  'the base64 program': (secret) => execFileSync('base64', { input: secret }).toString().trimEnd(),
  'the base64 program at 64 columns, after echo': (secret) =>
    execFileSync('base64', ['-w', '64'], { input: `${secret}\n` })
      .toString()
      .trimEnd(),
  'the base64 program at 76 columns, CRLF': (secret) =>
    execFileSync('base64', ['-w', '76'], { input: secret }).toString().trimEnd().replaceAll('\n', '\r\n'),
  hex: (secret) => Buffer.from(secret).toString('hex'),
  'capital hex': (secret) => Buffer.from(secret).toString('hex').toUpperCase(),
  'hex at 60 columns': (secret) =>
    Buffer.from(secret)
      .toString('hex')
      .replace(/.{60}(?=.)/g, '$&\n'),
  encodeURIComponent,
  encodeURI,
  'percent with small digits': (secret) =>
    encodeURIComponent(secret).replace(/%../g, (code) => code.toLowerCase()),
  'an HTML form': (secret) => new URLSearchParams({ a: secret }).toString().slice('a='.length),
  'a URL query': (secret) => {
    const url = new URL('http://h/')
    url.searchParams.set('a', secret)
    return url.search.slice('?a='.length)
  },
  JSON: (secret) => JSON.stringify(secret).slice(1, -1),
  'JSON of JSON': (secret) => JSON.stringify(JSON.stringify(secret)).slice(3, -3),
  'ASCII JSON': (secret) =>
    JSON.stringify(secret)
      .slice(1, -1)
      .replace(/[^\x00-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`),
  'JSON with slashes escaped': (secret) => JSON.stringify(secret).slice(1, -1).replaceAll('/', '\\/'),
}

for (const [name, encode] of Object.entries(encoders))
  test(`a secret is masked whole in this form: ${name}`, () => {
    for (const secret of [...secrets, rsaKey, rsaKey.trim()]) {
      const masked = createMasker([secret]).maskText(`<${encode(secret)}>`)
      assert.match(masked, /^<\*\*\*\s*>$/, JSON.stringify(secret))
    }
  })

test('the password of a URL is masked as the URL encodes it', () => {
  for (const secret of ['p@ss:w/rd+1', 'a b"c<d>e?f', 'wait|what^now'].filter(
    (each) => !each.includes('%'),
  )) {
    const url = new URL('http://host/')
    url.password = secret
    assert.equal(createMasker([secret]).maskText(url.href), 'http://:***@host/')
  }
})

test('a secret is masked in a path that contained it', () => {
  for (const secret of [
    'tok//ab/c+d',
    'tok/./abcd',
    'token+abc/',
    '/token+ab//',
    './token+a',
    '../token+a',
    'a/../token+b',
  ]) {
    const { maskText } = createMasker([secret])
    for (const path of [`/no ${secret}`, `/no/${secret}`, `/no/${secret}/sub`, secret])
      for (const shown of [
        path,
        posix.normalize(path),
        posix.resolve('/work', path),
        JSON.stringify(posix.resolve('/work', path)),
      ])
        assert.doesNotMatch(maskText(shown), /tok|ab/, `${secret} in ${shown}`)
  }
  // Nothing is left of these that would distinguish them from other texts.
  for (const secret of ['/ab//c', 'abcd/../', './/../..'])
    assert.equal(createMasker([secret]).maskText('/ab/c abcd ..'), '/ab/c abcd ..')
})

test('in base64 of a longer text, all characters that depend only on the secret are masked', () => {
  for (const secret of secrets)
    for (const before of ['', '1', '12', 'user:', '{"a":"'])
      for (const after of ['', '\n', 'z', 'zz', '"}\n']) {
        const bytes = Buffer.from(before + secret + after)
        const masked = createMasker([secret]).maskText(bytes.toString('base64'))
        const [left, right] = masked.split('***')
        assert.ok(right !== undefined, `${before}|${secret}|${after}: ${masked}`)
        const atStart = Math.ceil((Buffer.byteLength(before) * 8) / 6)
        assert.ok(left!.length <= atStart, masked)
        const fromEnd = Math.ceil((Buffer.byteLength(after) * 8) / 6) + 3
        assert.ok(right.length <= fromEnd, masked)
      }
})

test('in wrapped base64 the secret is masked at every cut', () => {
  const secret = 'correct-horse-battery'
  const masker = createMasker([secret])
  for (let before = 0; before < 80; before++)
    for (const columns of [60, 64, 76])
      for (const ending of ['\n', '\r\n']) {
        const encoded = Buffer.from(`${'x'.repeat(before)}${secret}${'y'.repeat(60)}`).toString('base64')
        const wrapped = encoded.replace(new RegExp(`.{${columns}}`, 'g'), `$&${ending}`)
        const masked = masker.maskText(wrapped)
        const hidden = encoded.length - masked.replaceAll(/\*\*\*|\s/g, '').length
        const most = Math.ceil((secret.length * 8) / 6)
        assert.ok(hidden >= most - 2 && hidden <= most, `${before} ${columns}: ${masked}`)
      }
})

test('every line of a key is masked on its own, except the lines that only name its kind', () => {
  const masker = createMasker([rsaKey])
  for (const line of rsaKey.trim().split('\n')) {
    const isBoundary = line.startsWith('-----')
    assert.equal(masker.maskText(`  ${line} `), isBoundary ? `  ${line} ` : '  *** ')
  }
})

test('a value too long for all its forms is masked as it is', () => {
  const long = randomBytes(9_000).toString('base64')
  const masker = createMasker([{ name: 'BIG', value: long }])
  assert.match(masker.warnings.join(), /"BIG" has 12000 bytes/)
  assert.equal(masker.maskText(`a ${long} b`), 'a *** b')
  const lines = randomBytes(9_000).toString('base64').replace(/.{64}/g, '$&\n')
  assert.equal(createMasker([lines]).maskText(`a ${lines.slice(65, 129)} b`), 'a *** b')
})

test('ordinary text stays unchanged', () => {
  const masker = createMasker([
    ...secrets,
    ...Array.from({ length: 50 }, () => randomBytes(24).toString('base64url')),
  ])
  const text = Array.from(
    { length: 5_000 },
    (_, n) => `${n} GET /api/runs/${n}?page=2 {"a":"b\\n"} ${randomBytes(12).toString('base64')}`,
  ).join('\n')
  assert.equal(masker.maskText(text), text)
})
