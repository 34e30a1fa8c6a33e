import { inspect } from 'node:util'
import fc from 'fast-check'

/** Secrets that overlap one another and themselves, and texts made of their forms, their parts and noise. */
export interface MaskingCase {
  secrets: string[]
  text: Buffer
}

const overlapping = fc.oneof(
  // Secrets of one or two different letters, which overlap themselves.
  fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 6, maxLength: 14 }),
  fc.string({ unit: fc.constantFrom('a', 'b', 'ab', 'aab'), minLength: 6, maxLength: 10 }),
  // Beginnings, ends and middles of one text, which overlap one another.
  fc
    .tuple(fc.nat(8), fc.integer({ min: 6, max: 20 }))
    .map(([from, length]) => 'abcabcdabcdeabcdefabcdefg'.slice(from, from + length)),
)
const special = fc.string({
  unit: fc.constantFrom(
    'a',
    'Z',
    '9',
    ' ',
    '+',
    '/',
    '=',
    '"',
    '\\',
    "'",
    '<',
    '&',
    '%',
    '~',
    '\t',
    '\x01',
    '\x7f',
    'é',
    '€',
    '😀',
    '\u2028',
  ),
  minLength: 6,
  maxLength: 12,
})
const line = fc.string({
  unit: fc.constantFrom('M', 'I', 'a', 'b', '+', '/', ' '),
  minLength: 1,
  maxLength: 24,
})
const severalLines = fc
  .tuple(
    fc.array(line, { minLength: 2, maxLength: 4 }),
    fc.constantFrom('\n', '\r\n', '\n\n', '\r'),
    fc.constantFrom('', '\n', '\r\n', ' '),
  )
  .map(([lines, between, after]) => lines.join(between) + after)

const secret = fc.oneof(overlapping, special, severalLines)

const encoders: readonly ((secret: string, before: string, after: string) => string)[] = [
  (text) => text,
  (text) => text.replaceAll('\n', '\r\n'),
  (text, before, after) => Buffer.from(before + text + after).toString('base64'),
  (text, before, after) => Buffer.from(before + text + after).toString('base64url'),
  (text) => Buffer.from(text).toString('hex'),
  (text) => Buffer.from(text).toString('hex').toUpperCase(),
  (text) => encodeURIComponent(text.toWellFormed()),
  (text) => new URLSearchParams({ text }).toString(),
  (text) => JSON.stringify(text),
  (text) => JSON.stringify(JSON.stringify(text)).replaceAll('/', '\\/'),
  (text) => `'${text.replaceAll("'", "'\\''")}'`,
  (text) => inspect(text),
  (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;'),
  (text) => (Buffer.from(text).toString('hex').match(/../g) ?? []).join(':'),
]

const wrapped = (text: string, columns: number, ending: string) =>
  columns === 0 ? text : text.replace(new RegExp(`.{${columns}}`, 'gu'), `$&${ending}`)

const noise = fc.oneof(
  fc.string({ unit: fc.constantFrom('a', 'b', 'c', '\n', '\r', '\r\n', ' ', '='), maxLength: 20 }),
  fc.constantFrom('', '\n', '\r\n', '\r', 'token=', '0123456789abcdef', '0123456789abcdef\n', '***'),
)

function pieceOf(secrets: readonly string[]): fc.Arbitrary<string> {
  const form = fc
    .record({
      secret: fc.constantFrom(...secrets),
      encoder: fc.constantFrom(...encoders),
      before: fc.constantFrom('', 'x', 'u:', 'abc'),
      after: fc.constantFrom('', '\n', 'a', 'zz'),
      columns: fc.constantFrom(0, 0, 0, 15, 16, 17, 20, 64),
      ending: fc.constantFrom('\n', '\r\n'),
      from: fc.constantFrom(0, 0, 0, 1, 3),
      cut: fc.constantFrom(0, 0, 0, 1, 4),
    })
    .map(({ secret, encoder, before, after, columns, ending, from, cut }) => {
      const form = wrapped(encoder(secret, before, after), columns, ending)
      return form.slice(from, Math.max(from, form.length - cut))
    })
  return fc.oneof({ weight: 3, arbitrary: form }, { weight: 2, arbitrary: noise })
}

export const maskingCase: fc.Arbitrary<MaskingCase> = fc
  .array(secret, { minLength: 1, maxLength: 3 })
  .chain((secrets) =>
    fc
      .array(pieceOf(secrets), { minLength: 1, maxLength: 7 })
      .map((pieces) => ({ secrets, text: Buffer.from(pieces.join('')) })),
  )
