import type { ShareList, ShareRunInput, UnshareRun } from '../contract/runs/shares.ts'
import type { WorkspaceChange, WorkspaceFile, WorkspaceFolder } from '../contract/runs/workspace-queries.ts'
import type { HubHttp } from './http.ts'

/**
 * Manages sessions with agents: their shares, which every run may have, and the folder that a running session works in.
 */
export class SessionsClient {
  readonly #http: HubHttp

  constructor(http: HubHttp) {
    this.#http = http
  }

  shares(runId: string): Promise<ShareList> {
    return this.#http.json('GET /api/runs/:id/shares', { params: { id: runId } })
  }

  /** Shares a run; replaces the earlier share of the same user or role. */
  share(runId: string, share: ShareRunInput): Promise<ShareList> {
    return this.#http.json('PUT /api/runs/:id/shares', { params: { id: runId }, body: share })
  }

  /** Stops sharing. Throws `not_found` when there is no such share. */
  unshare(runId: string, of: UnshareRun): Promise<ShareList> {
    return this.#http.json('DELETE /api/runs/:id/shares', { params: { id: runId }, query: of })
  }

  /** Stores a file or image for a prompt; its id goes into the prompt's `attachments`. Idempotent. */
  async attach(file: { name: string; media_type: string; bytes: Uint8Array }): Promise<string> {
    const { name, media_type, bytes } = file
    const headers = { 'content-type': 'application/octet-stream' }
    const query = { name, media_type, type: 'attachment' }
    const { uri } = await this.#http.json('POST /api/store/artifacts', { query, bytes, headers })
    return uri.slice(uri.lastIndexOf('/') + 1)
  }

  /**
   * Returns the session's folder and its commits there. Throws `not_found` once it is over, `unavailable` when its
   * runner is away.
   */
  workspace(runId: string): Promise<WorkspaceChange> {
    return this.#http.json('GET /api/runs/:id/workspace', { params: { id: runId } })
  }

  /**
   * Lists a folder; `path` is relative to the session's folder. Throws as `workspace`, and `forbidden` for a path that
   * leads out of it.
   */
  files(runId: string, path = ''): Promise<WorkspaceFolder> {
    return this.#http.json('GET /api/runs/:id/workspace/files', { params: { id: runId }, query: { path } })
  }

  file(runId: string, path: string): Promise<WorkspaceFile> {
    return this.#http.json('GET /api/runs/:id/workspace/file', { params: { id: runId }, query: { path } })
  }

  /** Returns its change so far, or that of one of its commits, from 1. */
  async change(runId: string, { commit }: { commit?: number } = {}): Promise<ReadableStream<Uint8Array>> {
    const { body } = await this.#http.send('GET /api/runs/:id/workspace/diff', {
      params: { id: runId },
      query: { commit },
      headers: { accept: '*/*' },
    })
    return body ?? new Blob([]).stream()
  }
}
