/**
 * Debian's Firefox, driven by WebDriver BiDi, which it supports itself:
 *
 *     test('...', { skip: skipFirefox }, async (t) => {
 *       const firefox = await startFirefox(t)                       // one page of 1280 x 800
 *       await firefox.goto(`${programs.url}/login`)
 *       await firefox.click('button', 'Log in')                     // by selector and words, as a mouse does
 *
 * Calls that wait for something do so until it is there, and fail with the text that the page shows by then.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { TestContext } from 'node:test'
import { WebSocket } from 'ws'
import { eventually } from '../errand-command.ts'

const hidden = process.env.ERRAND_TEST_WITHOUT?.includes('browsers')
const PROGRAM = '/usr/bin/firefox-esr'
/** Why the tests with Firefox are skipped, or false. */
export const skipFirefox =
  (hidden || !existsSync(PROGRAM)) && 'no Firefox is installed: scripts/ci-packages.sh firefox-esr'

/** Preferences that stop the browser from calling anything but the page's hub. */
const PREFERENCES = {
  'app.normandy.enabled': false,
  'app.update.enabled': false,
  'browser.aboutwelcome.enabled': false,
  'browser.safebrowsing.malware.enabled': false,
  'browser.shell.checkDefaultBrowser': false,
  'captivedetect.canonicalURL': '',
  'datareporting.policy.dataSubmissionEnabled': false,
  'extensions.systemAddon.update.enabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'services.settings.server': 'data:,#remote-settings-dummy/v1',
  'toolkit.telemetry.enabled': false,
}
/** The code points of keys. */
export const keys = { enter: '\uE007', end: '\uE010' } as const

type Answer = {
  id?: number
  type: string
  method?: string
  result?: unknown
  error?: string
  message?: string
}

export class Firefox {
  readonly #socket: WebSocket
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>()
  /** The complaints of the console and of scripts. */
  readonly complaints: string[] = []
  #context = ''
  #count = 0

  constructor(socket: WebSocket) {
    this.#socket = socket
    socket.on('message', (data) => this.#receive(JSON.parse(String(data))))
  }

  async begin(): Promise<void> {
    await this.#ask('session.new', { capabilities: {} })
    await this.#ask('session.subscribe', { events: ['log.entryAdded'] })
    const { context } = await this.#ask<{ context: string }>('browsingContext.create', { type: 'tab' })
    this.#context = context
    await this.resize(1280, 800)
  }

  async resize(width: number, height: number): Promise<void> {
    await this.#ask('browsingContext.setViewport', { context: this.#context, viewport: { width, height } })
  }

  async goto(url: string): Promise<void> {
    await this.#ask('browsingContext.navigate', { context: this.#context, url, wait: 'interactive' })
  }

  /** Evaluates an expression in the page and returns its value, sent as JSON. */
  async evaluate<T>(expression: string): Promise<T> {
    const target = { context: this.#context }
    const answer = await this.#ask<{
      type: string
      result?: { value?: string }
      exceptionDetails?: { text: string }
    }>('script.evaluate', {
      expression: `(async () => JSON.stringify(await (${expression})))()`,
      target,
      awaitPromise: true,
    })
    if (answer.type !== 'success') throw new Error(`${expression}: ${answer.exceptionDetails?.text}`)
    return answer.result?.value === undefined ? (undefined as T) : (JSON.parse(answer.result.value) as T)
  }

  /** Waits until an element of that selector is visible whose text, label or title contains the words. */
  async waitFor(selector: string, words = ''): Promise<{ x: number; y: number; text: string }> {
    const find = `(() => {
      for (const each of document.querySelectorAll(${JSON.stringify(selector)})) {
        const text = each.innerText ?? each.textContent ?? ''
        const said = [text, each.getAttribute('aria-label'), each.title, each.value].join(' ')
        const { x, y, width, height } = each.getBoundingClientRect()
        if (width > 0 && said.includes(${JSON.stringify(words)})) return { x: x + width / 2, y: y + height / 2, text }
      }
    })()`
    try {
      return await eventually(`${selector} ${words}`, () =>
        this.evaluate<{ x: number; y: number; text: string } | undefined>(find).catch(() => undefined),
      )
    } catch (error) {
      const shown = await this.evaluate('document.body.innerText').catch(String)
      throw new Error(`${(error as Error).message}; the page says:\n${shown}`)
    }
  }

  async click(selector: string, words = ''): Promise<void> {
    const { x, y } = await this.waitFor(selector, words)
    await this.#act('pointer', [
      { type: 'pointerMove', x: Math.round(x), y: Math.round(y) },
      { type: 'pointerDown', button: 0 },
      { type: 'pointerUp', button: 0 },
    ])
  }

  /** Types into the focused element. */
  async type(text: string): Promise<void> {
    await this.#act(
      'key',
      [...text].flatMap((value) => [
        { type: 'keyDown', value },
        { type: 'keyUp', value },
      ]),
    )
  }

  async #act(type: 'pointer' | 'key', actions: readonly object[]): Promise<void> {
    const of = [{ type, id: type, actions }]
    await this.#ask('input.performActions', { context: this.#context, actions: of })
  }

  async #ask<T>(method: string, params: object): Promise<T> {
    const answer = Promise.withResolvers<unknown>()
    this.#waiting.set(++this.#count, answer)
    this.#socket.send(JSON.stringify({ id: this.#count, method, params }))
    return (await answer.promise) as T
  }

  #receive(message: Answer & { params?: { level?: string; text?: string } }): void {
    if (message.method === 'log.entryAdded' && message.params?.level === 'error')
      this.complaints.push(String(message.params.text))
    const waiting = message.id === undefined ? undefined : this.#waiting.get(message.id)
    if (message.id === undefined || waiting === undefined) return
    this.#waiting.delete(message.id)
    if (message.type === 'error') waiting.reject(new Error(`${message.error}: ${message.message}`))
    else waiting.resolve(message.result)
  }
}

/** Starts a browser of its own with nothing of other tests. It is ended with the test. */
export async function startFirefox(t: TestContext): Promise<Firefox> {
  const profile = mkdtempSync(join(tmpdir(), 'errand-firefox-'))
  const lines = Object.entries(PREFERENCES).map(
    ([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`,
  )
  writeFileSync(join(profile, 'user.js'), lines.join(''))
  const args = [
    '--headless',
    '--no-remote',
    '--profile',
    profile,
    '--remote-debugging-port',
    '0',
    'about:blank',
  ]
  const child = spawn(PROGRAM, args, {
    env: { ...process.env, HOME: profile, MOZ_CRASHREPORTER_DISABLE: '1' },
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  })
  const ended = once(child, 'exit')
  t.after(async () => {
    if (child.exitCode === null) process.kill(-child.pid!, 'SIGKILL')
    await ended
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 })
  })
  const message: string[] = []
  const url = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stderr }).on('line', (line) => {
      message.push(line)
      const [, found] = /listening on (ws:\/\/\S+)/.exec(line) ?? []
      if (found !== undefined) resolve(`${found}/session`)
    })
    void ended.then(() => reject(new Error(`Firefox does not start: ${message.join('\n')}`)))
  })
  const socket = new WebSocket(url, { perMessageDeflate: false, maxPayload: 64 * 1024 ** 2 })
  t.after(() => socket.terminate())
  await once(socket, 'open')
  const firefox = new Firefox(socket)
  await firefox.begin()
  return firefox
}
