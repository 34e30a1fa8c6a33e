import type { ShareList, ShareRunInput, UnshareRun } from '../contract/runs/shares.ts'
import type { HubHttp } from './http.ts'

/** Sessions with agents: with whom they are shared. All of it is there for every run. */
export class SessionsClient {
  readonly #http: HubHttp

  constructor(http: HubHttp) {
    this.#http = http
  }

  shares(runId: string): Promise<ShareList> {
    return this.#http.json('GET /api/runs/:id/shares', { params: { id: runId } })
  }

  /** In the place of what was shared with the same user or role before. */
  share(runId: string, share: ShareRunInput): Promise<ShareList> {
    return this.#http.json('PUT /api/runs/:id/shares', { params: { id: runId }, body: share })
  }

  /** Throws `not_found` where it is not shared so. */
  unshare(runId: string, of: UnshareRun): Promise<ShareList> {
    return this.#http.json('DELETE /api/runs/:id/shares', { params: { id: runId }, query: of })
  }

  /** Stores a file or image for a prompt; its id goes into the prompt's `attachments`. The same again is the same. */
  async attach(file: { name: string; media_type: string; bytes: Uint8Array }): Promise<string> {
    const { name, media_type, bytes } = file
    const headers = { 'content-type': 'application/octet-stream' }
    const query = { name, media_type, type: 'attachment' }
    const { uri } = await this.#http.json('POST /api/store/artifacts', { query, bytes, headers })
    return uri.slice(uri.lastIndexOf('/') + 1)
  }
}
