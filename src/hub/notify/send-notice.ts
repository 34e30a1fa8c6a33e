import { createHmac } from 'node:crypto'
import type { WebhookNotice } from '../../contract/channels.ts'
import { ErrandError, messageOf } from '../../contract/errors.ts'
import { jsonOf } from '../../platform/text.ts'

/** Settings of a channel, stored sealed. */
export type ChannelValue =
  | { kind: 'webhook'; url: string; secret: string }
  | { kind: 'ntfy'; url: string; token?: string }
  | { kind: 'email'; address: string }

export interface SenderOptions {
  /** Fetches only what the hub may reach. */
  fetch: typeof globalThis.fetch
  /** Absent if the hub sends no mail. */
  mail?: { url: string; from: string }
  /** Milliseconds that one try may take. Default 15 s. */
  timeoutMs?: number
}

/**
 * Sends one notice to a channel. Throws `host_unreachable`, `host_refused`, `source_refused` or `unavailable`; the
 * messages contain no secret.
 */
export class NoticeSender {
  readonly #options: SenderOptions

  constructor(options: SenderOptions) {
    this.#options = options
  }

  get canMail(): boolean {
    return this.#options.mail !== undefined
  }

  async send(value: ChannelValue, notice: WebhookNotice): Promise<void> {
    if (value.kind === 'webhook') return await this.#webhook(value, notice)
    if (value.kind === 'ntfy') return await this.#ntfy(value, notice)
    await this.#mail(value.address, notice)
  }

  #webhook({ url, secret }: { url: string; secret: string }, notice: WebhookNotice): Promise<void> {
    const body = JSON.stringify(notice)
    const timestamp = String(Math.floor(Date.now() / 1000))
    const signed = createHmac('sha256', secret).update(`${timestamp}.${body}`).digest('hex')
    return this.#post(url, body, {
      'x-errand-delivery': notice.id,
      'x-errand-timestamp': timestamp,
      'x-errand-signature': `sha256=${signed}`,
    })
  }

  #ntfy({ url, token }: { url: string; token?: string }, notice: WebhookNotice): Promise<void> {
    const topic = new URL(url)
    const parts = topic.pathname.split('/').filter((part) => part !== '')
    const name = decodeURIComponent(parts.pop() ?? '')
    topic.pathname = `/${parts.join('/')}`
    topic.search = ''
    const body = JSON.stringify({
      topic: name,
      title: notice.title,
      message: notice.text,
      click: notice.url,
      priority: notice.kind === 'question' ? 4 : 3,
      tags: notice.kind === 'question' ? ['question'] : notice.kind === 'failure' ? ['x'] : [],
    })
    return this.#post(
      topic.href,
      body,
      token === undefined ? {} : { authorization: `Bearer ${token}` },
      // A page of a proxy in between may have status 200 too.
      (body) => typeof (jsonOf(body) as { id?: unknown } | undefined)?.id === 'string',
    )
  }

  /** `isTaken` checks the text of the answer. If absent, any 2xx counts as accepted. */
  async #post(
    url: string,
    body: string,
    headers: Record<string, string>,
    isTaken?: (body: string) => boolean,
  ): Promise<void> {
    const { fetch, timeoutMs = 15_000 } = this.#options
    const { host } = new URL(url)
    let answer: Response
    let taken = true
    try {
      answer = await fetch(url, {
        method: 'POST',
        body,
        headers: { 'content-type': 'application/json', 'user-agent': 'errand', ...headers },
        redirect: 'error',
        signal: AbortSignal.timeout(timeoutMs),
      })
      if (answer.ok && isTaken !== undefined) taken = isTaken(await beginOf(answer))
      else await answer.body?.cancel().catch(() => {})
    } catch (error) {
      // A refusal by the hub's policy has its own message.
      if (error instanceof ErrandError) throw error
      const why = error instanceof Error && error.cause !== undefined ? error.cause : error
      throw new ErrandError('host_unreachable', `${host} does not answer: ${messageOf(why)}`, {
        hint: 'Check the address of the channel. The hub tries again.',
      })
    }
    if (answer.ok && taken) return
    if (answer.ok)
      throw new ErrandError('host_refused', `${host} does not answer like an ntfy server.`, {
        hint: 'Check the address of the channel, and any proxy in between. The hub tries again.',
      })
    throw new ErrandError('host_refused', `${host} answered ${answer.status}.`, {
      hint: 'Check the address and the token of the channel. The hub tries again.',
    })
  }

  async #mail(to: string, notice: WebhookNotice): Promise<void> {
    const { mail, timeoutMs = 15_000 } = this.#options
    if (mail === undefined)
      throw new ErrandError('unavailable', 'No mail server is configured on this hub.', {
        hint: 'Ask the operator of the hub to set ERRAND_SMTP_URL.',
      })
    const { createTransport } = await import('nodemailer')
    const transport = createTransport({
      url: mail.url,
      connectionTimeout: timeoutMs,
      greetingTimeout: timeoutMs,
      socketTimeout: timeoutMs,
      disableFileAccess: true,
      disableUrlAccess: true,
    })
    try {
      await transport.sendMail({
        from: mail.from,
        to: { name: '', address: to },
        subject: notice.title,
        text: `${notice.text}\n\n${notice.url}\n`,
        // Every try has the same id, so that a server may drop a duplicate.
        messageId: `<${notice.id}@errand>`,
        headers: { 'auto-submitted': 'auto-generated' },
      })
    } catch (error) {
      const { code, responseCode } = error as { code?: string; responseCode?: number }
      throw new ErrandError(
        responseCode === undefined ? 'host_unreachable' : 'host_refused',
        `The mail server ${mailServer(mail.url)} ${responseCode === undefined ? `cannot be used (${code ?? 'no answer'})` : `answered ${responseCode}`}.`,
        { hint: 'The hub tries again. The operator of the hub sets the server with ERRAND_SMTP_URL.' },
      )
    } finally {
      transport.close()
    }
  }
}

/** Returns host and port of the mail server, without its login. */
export function mailServer(url: string): string {
  const { hostname, port, protocol } = new URL(url)
  return `${hostname}:${port || (protocol === 'smtps:' ? 465 : 587)}`
}

const MOST_ANSWER_BYTES = 64 * 1024

async function beginOf(answer: Response): Promise<string> {
  const pieces: Uint8Array[] = []
  let bytes = 0
  for await (const piece of answer.body ?? []) {
    pieces.push(piece)
    bytes += piece.length
    if (bytes > MOST_ANSWER_BYTES) break
  }
  return Buffer.concat(pieces).toString()
}
