/** One event of a Server-Sent Events stream. */
export interface ServerEvent {
  id?: string
  event: string
  data: string
}

/** Turns bytes into events, whatever the chunking; comments and `retry` are left out. */
export class SseParser {
  readonly #decoder = new TextDecoder()
  #rest = ''
  #id: string | undefined
  #event = ''
  #data: string[] = []

  push(bytes: Uint8Array): ServerEvent[] {
    const text = this.#decoder.decode(bytes, { stream: true })
    const events: ServerEvent[] = []
    let start = 0
    for (;;) {
      const end = text.indexOf('\n', start)
      if (end < 0) break
      const line = this.#rest + text.slice(start, end)
      this.#rest = ''
      this.#line(line.endsWith('\r') ? line.slice(0, -1) : line, events)
      start = end + 1
    }
    // A long line comes in many chunks; only what is new of it is looked through.
    this.#rest += text.slice(start)
    return events
  }

  #line(line: string, events: ServerEvent[]): void {
    if (line === '') {
      if (this.#data.length > 0)
        events.push({ id: this.#id, event: this.#event || 'message', data: this.#data.join('\n') })
      this.#event = ''
      this.#data = []
      return
    }
    const colon = line.indexOf(':')
    if (colon === 0) return
    const field = colon < 0 ? line : line.slice(0, colon)
    const value = colon < 0 ? '' : line.slice(line.charCodeAt(colon + 1) === 32 ? colon + 2 : colon + 1)
    if (field === 'data') this.#data.push(value)
    else if (field === 'event') this.#event = value
    else if (field === 'id') this.#id = value
  }
}
