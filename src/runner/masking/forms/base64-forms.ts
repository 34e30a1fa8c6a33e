/**
 * What base64 makes of bytes that stand in a longer text: three ways, by how many bytes are before them. A character
 * that other bytes have a part in is left out, so up to four bits of the first and of the last byte stay to be seen;
 * where the bytes (and a newline, as `echo` adds one) are the end of the text, its last characters are known too.
 * Six bytes give seven characters at least.
 */
export function base64Forms(bytes: Buffer): string[] {
  const forms: string[] = []
  for (const before of [0, 1, 2]) {
    const firstWhole = Math.ceil((before * 8) / 6)
    const wholeEnd = Math.floor(((before + bytes.length) * 8) / 6)
    for (const ending of ['', '\n']) {
      const text = Buffer.concat([Buffer.alloc(before), bytes, Buffer.from(ending)]).toString('base64')
      forms.push(
        text.slice(firstWhole, wholeEnd),
        text.slice(firstWhole).replace(/=+$/, ''),
        text.slice(firstWhole),
      )
    }
  }
  const forUrls = forms.map((form) => form.replaceAll('+', '-').replaceAll('/', '_'))
  return [...forms, ...forUrls]
}
