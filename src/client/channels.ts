import type { ChannelCreated, ChannelList, CreateChannelInput } from '../contract/channels.ts'
import type { HubHttp } from './http.ts'

/** Manages the channels at which the caller is notified. */
export class ChannelsClient {
  readonly #http: HubHttp

  constructor(http: HubHttp) {
    this.#http = http
  }

  list(): Promise<ChannelList> {
    return this.#http.json('GET /api/me/channels')
  }

  /**
   * Adds a channel. The answer shows its `secret` only this once. Throws `quota_exceeded`, `unavailable` for mail that
   * the hub cannot send.
   */
  add(channel: CreateChannelInput): Promise<ChannelCreated> {
    return this.#http.json('POST /api/me/channels', { body: channel })
  }

  /** Sends a test and waits for it. Throws `host_unreachable`, `host_refused`, `rate_limited`. */
  async test(id: string): Promise<void> {
    await this.#http.json('POST /api/me/channels/:id/test', { params: { id }, body: {} })
  }

  remove(id: string): Promise<void> {
    return this.#http.done('DELETE /api/me/channels/:id', { params: { id } })
  }
}
