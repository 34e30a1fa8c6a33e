import { address, sessionBack } from '../api.ts'

export interface Message {
  id: string
  event: string
  data: string
}

/** Parses Server-Sent Events from a text that arrives in pieces. */
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

/**
 * `refused`: the hub does not offer this stream, and the page does not ask for it again. `ended`: it waits for a
 * login.
 */
export type StreamState = 'live' | 'away' | 'refused' | 'ended'

/** A stream that is away: how long it was silent, and in how many ms it is tried again. */
export interface Away {
  silentMs: number
  retryInMs: number
}

interface Following {
  /** Called for each connection. */
  query?: () => Record<string, string>
  after?: string
  message: (message: Message) => void
  state?: (state: StreamState, away?: Away) => void
  /** Keeps the connection while the page is hidden, since other tabs use it too. */
  stays?: boolean
}

const SILENT_MS = 45_000
const HIDDEN_MS = 20_000

/**
 * Follows a stream until it is stopped. When the connection breaks or falls silent, it resumes after the id of the
 * last message. A page that stays hidden closes its connection, since a browser has only six per site, and resumes
 * when it is shown.
 *
 * States:
 * - `live`: connected. A lost connection leads to `away`, a 401 to `ended`, another refusal to `refused`.
 * - `away`: waits, then connects again; `now` shortens the wait.
 * - `ended`: waits for a login, then connects again.
 * - `refused`: final.
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
  const onActivity = () => {
    clearTimeout(silence)
    silentMs = 0
    silence = setTimeout(() => {
      silentMs = SILENT_MS
      connection.abort()
    }, SILENT_MS)
  }

  const connect = async (): Promise<'over' | 'again'> => {
    connection = new AbortController()
    onActivity()
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
      onActivity()
      for (const one of reader.add(value)) {
        if (one.id !== '') last = one.id
        if (!stopped) message(one)
      }
    }
  }
  const isAside = () => !stays && document.hidden
  const run = async () => {
    while (!stopped) {
      // A page that was opened in the background leaves the connections to other pages until it is shown.
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
    /** If the page is hidden, closes the connection at once until the page is shown. */
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
