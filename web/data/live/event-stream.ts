import { address, sessionBack } from '../api.ts'

export interface Message {
  id: string
  event: string
  data: string
}

/** Cuts Server-Sent Events out of a text that comes in pieces. */
export class MessageReader {
  #rest = ''
  #message: Message = { id: '', event: 'message', data: '' }

  add(text: string): Message[] {
    const lines = (this.#rest + text).split('\n')
    this.#rest = lines.pop()!
    const found: Message[] = []
    for (const line of lines) {
      const whole = line.endsWith('\r') ? line.slice(0, -1) : line
      if (whole === '') {
        if (this.#message.data !== '') found.push(this.#message)
        this.#message = { id: this.#message.id, event: 'message', data: '' }
        continue
      }
      const [, name, value] = /^(\w*): ?(.*)$/s.exec(whole) ?? []
      if (name === 'id') this.#message.id = value!
      else if (name === 'event') this.#message.event = value!
      else if (name === 'data') this.#message.data += (this.#message.data === '' ? '' : '\n') + value
    }
    return found
  }
}

/** `refused`: the hub does not give this stream; it is not asked for again. `ended`: it waits for a login. */
export type StreamState = 'live' | 'away' | 'refused' | 'ended'

/** Of a stream that is away: since when nothing came, and when it is tried again. */
export interface Away {
  silentMs: number
  retryInMs: number
}

interface Following {
  /** Asked with each connection. */
  query?: () => Record<string, string>
  after?: string
  message: (message: Message) => void
  state?: (state: StreamState, away?: Away) => void
  /** Keeps its connection while the page is hidden: others listen to it. */
  stays?: boolean
}

const SILENT_MS = 45_000
const HIDDEN_MS = 20_000

/**
 * Follows a stream until it is stopped: taken up again by the id of its last message when the connection breaks or falls
 * silent. A page that is hidden for long lets go of its connection, of which a browser has six, and resumes when shown.
 */
export function follow(path: string, { query, after, message, state, stays = false }: Following) {
  let last = after
  let stopped = false
  let tries = 0
  let connection = new AbortController()
  let wake = (): void => {}
  let silence: ReturnType<typeof setTimeout> | undefined
  let hiding: ReturnType<typeof setTimeout> | undefined
  let silentMs = 0
  const heard = () => {
    clearTimeout(silence)
    silentMs = 0
    silence = setTimeout(() => {
      silentMs = SILENT_MS
      connection.abort()
    }, SILENT_MS)
  }

  const connect = async (): Promise<'over' | 'again'> => {
    connection = new AbortController()
    heard()
    const response = await fetch(address(path, { ...query?.(), after: last }), {
      headers: { accept: 'text/event-stream' },
      credentials: 'same-origin',
      signal: connection.signal,
    })
    if (response.status === 204) return 'over'
    if (response.status === 401) {
      clearTimeout(silence)
      state?.('ended')
      await sessionBack()
      tries = 0
      return 'again'
    }
    if (response.status >= 400 && response.status < 500 && response.status !== 429) {
      state?.('refused')
      return 'over'
    }
    if (!response.ok || response.body === null) return 'again'
    tries = 0
    state?.('live')
    const reader = new MessageReader()
    const texts = response.body.pipeThrough(new TextDecoderStream()).getReader()
    for (;;) {
      const { value, done } = await texts.read()
      if (done) return 'again'
      heard()
      for (const one of reader.add(value)) {
        if (one.id !== '') last = one.id
        if (!stopped) message(one)
      }
    }
  }
  const isAside = () => !stays && document.hidden
  const run = async () => {
    while (!stopped) {
      // A page that was opened behind others has the connection to them until it is shown.
      if (isAside()) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
        continue
      }
      const outcome = await connect().catch(() => 'again' as const)
      clearTimeout(silence)
      if (outcome === 'over' || stopped) return
      if (isAside()) continue
      tries++
      const retryInMs = Math.min(250 * 2 ** tries, 5000)
      state?.('away', { silentMs, retryInMs })
      await new Promise<void>((resolve) => {
        wake = resolve
        setTimeout(resolve, retryInMs)
      })
    }
  }
  const shown = () => {
    clearTimeout(hiding)
    if (stays) return
    if (document.hidden) hiding = setTimeout(() => connection.abort(), HIDDEN_MS)
    else wake()
  }
  document.addEventListener('visibilitychange', shown)
  void run()
  return {
    /** Tries again at once. */
    now: () => wake(),
    /** Lets go of the connection at once where the page is hidden, until it is shown. */
    release: () => {
      if (isAside()) connection.abort()
    },
    stop: () => {
      stopped = true
      document.removeEventListener('visibilitychange', shown)
      clearTimeout(silence)
      clearTimeout(hiding)
      connection.abort()
      wake()
    },
  }
}
