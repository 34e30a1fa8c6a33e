/** What encoders replace; the others differ in what they leave as it is, besides letters and digits. */
const REPLACED = [
  // encodeURIComponent; encodeURI
  /[^A-Za-z0-9\-_.!~*'()]/g,
  /[^A-Za-z0-9\-_.!~*'();/?:@&=+$,#]/g,
  // RFC 3986; Python and others in a path
  /[^A-Za-z0-9\-_.~]/g,
  /[^A-Za-z0-9\-_.~/]/g,
  // HTML forms; older PHP
  /[^A-Za-z0-9\-_.*]/g,
  /[^A-Za-z0-9\-_.]/g,
  // WHATWG URL: user and password; path; query
  /[^\x21-\x7e]|["#<>?`{}/:;=@[\\\]^|]/g,
  /[^\x21-\x7e]|["#<>?`{}]/g,
  /[^\x21-\x7e]|["#<>']/g,
]

/** Percent-encoded by different encoders, with capital and with small digits, a blank as `%20` and as `+`. */
export function urlForms(bytes: Buffer): string[] {
  const hex = bytes.toString('hex')
  const all = [hex.toUpperCase(), hex].map((digits) => digits.replace(/../g, '%$&'))
  // A character for each byte.
  const text = bytes.toString('latin1')
  const some = REPLACED.flatMap((replaced) => {
    const small = text.replace(replaced, (character) => `%${code(character)}`)
    const capital = text.replace(replaced, (character) => `%${code(character).toUpperCase()}`)
    return [small, capital, small.replaceAll('%20', '+'), capital.replaceAll('%20', '+')]
  })
  return [...all, ...some]
}

const code = (character: string) => character.charCodeAt(0).toString(16).padStart(2, '0')
