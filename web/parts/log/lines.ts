/** A line of a log; `number` is its place by its first byte, and never changes. */
export interface Line {
  text: string
  stderr: boolean
  /** Its end has come. */
  whole: boolean
}

type Stream = 'stdout' | 'stderr'

/** Lines out of the bytes of two streams, in the order in which these came; a line stands where its first byte came. */
export class Lines {
  readonly all: Line[] = []
  readonly #open: Partial<Record<Stream, Line>> = {}
  readonly #decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() }

  add(stream: Stream, bytes: Uint8Array): void {
    const text = this.#decoders[stream].decode(bytes, { stream: true })
    let from = 0
    while (from < text.length) {
      const end = text.indexOf('\n', from)
      const piece = text.slice(from, end < 0 ? undefined : end)
      let line = this.#open[stream]
      if (line === undefined) {
        line = { text: '', stderr: stream === 'stderr', whole: false }
        this.all.push(line)
      }
      line.text += piece
      this.#open[stream] = line
      if (end < 0) return
      if (line.text.endsWith('\r')) line.text = line.text.slice(0, -1)
      line.whole = true
      delete this.#open[stream]
      from = end + 1
    }
  }
}
