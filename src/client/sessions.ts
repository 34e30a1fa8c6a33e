import type { ShareList, ShareRunInput, UnshareRun } from '../contract/runs/shares.ts'
import type { WorkspaceChange, WorkspaceFile, WorkspaceFolder } from '../contract/runs/workspace-looks.ts'
import type { HubHttp } from './http.ts'

/** Sessions with agents: with whom they are shared, as every run may be, and the folder that each works in while it goes on. */
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

  /** Where it works, and the commits that it has made there. Throws `not_found` once it is over, `unavailable` where its runner is away. */
  workspace(runId: string): Promise<WorkspaceChange> {
    return this.#http.json('GET /api/runs/:id/workspace', { params: { id: runId } })
  }

  /** `path` is seen from where it works. Throws the same, and `forbidden` for what leads out of there. */
  files(runId: string, path = ''): Promise<WorkspaceFolder> {
    return this.#http.json('GET /api/runs/:id/workspace/files', { params: { id: runId }, query: { path } })
  }

  file(runId: string, path: string): Promise<WorkspaceFile> {
    return this.#http.json('GET /api/runs/:id/workspace/file', { params: { id: runId }, query: { path } })
  }

  /** Its change so far, or that of a commit of it, from 1. */
  async change(runId: string, { commit }: { commit?: number } = {}): Promise<ReadableStream<Uint8Array>> {
    const { body } = await this.#http.send('GET /api/runs/:id/workspace/diff', {
      params: { id: runId },
      query: { commit },
      headers: { accept: '*/*' },
    })
    return body ?? new Blob([]).stream()
  }
}
