/** Longer values are looked for in plain hex alone: whatever dumps bytes one by one breaks its lines long before. */
const MAX_SEPARATED_BYTES = 1024
/** Of a longer buffer Node shows so many. */
const SHOWN_BYTES = 50
/** What the lines of a dump hold. */
const DUMP_BYTES = 16

/**
 * As hex, plain or byte by byte, with small and with capital digits. As a list of decimal numbers it is not looked for:
 * the tables of numbers that programs print would take four times as long.
 */
export function hexForms(bytes: Buffer): string[] {
  const plain = bytes.toString('hex')
  if (bytes.length > MAX_SEPARATED_BYTES) return [plain, plain.toUpperCase()]
  const pairs = plain.match(/../g) ?? []
  const small = [plain, ...separated(pairs)]
  return [...small, ...small.map(capitalDigits), ...dumped(pairs)]
}

function separated(pairs: readonly string[]): string[] {
  const bare = [':', ' ', '-', ', '].map((separator) => pairs.join(separator))
  const prefixed = pairs.map((pair) => `0x${pair}`)
  const forms = [', ', ',', ' '].map((separator) => prefixed.join(separator))
  // Go's %#v has no leading zeros.
  forms.push(forms[0]!.replaceAll('0x0', '0x'), pairs.map((pair) => `\\x${pair}`).join(''))
  return [...bare, pairs.slice(0, SHOWN_BYTES).join(' '), ...forms]
}

/** In one line of a dump: `xxd` joins two bytes, `hexdump -C` leaves a wider gap after eight. */
function dumped(pairs: readonly string[]): string[] {
  if (pairs.length > DUMP_BYTES) return []
  const joined = [0, 1].map((odd) =>
    pairs.map((pair, at) => (at > 0 && at % 2 === odd ? ` ${pair}` : pair)).join(''),
  )
  const gaps = pairs.slice(1).map((_, at) => {
    const [before, after] = [pairs.slice(0, at + 1), pairs.slice(at + 1)]
    return `${before.join(' ')}  ${after.join(' ')}`
  })
  return [...joined, ...gaps]
}

const capitalDigits = (form: string): string => form.replace(/[a-f]/g, (digit) => digit.toUpperCase())
