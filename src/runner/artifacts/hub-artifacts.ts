import { openAsBlob } from 'node:fs'
import type { Readable } from 'node:stream'
import type { AttemptSpec } from '../../contract/attempt.ts'
import type { Artifact } from '../../contract/tasks/artifact.ts'
import type { HubRequests } from '../link/hub-requests.ts'
import type { HubRetry } from '../link/hub-retry.ts'
import type { ArtifactSink } from './artifact-keeper.ts'
import type { AttachmentSource } from './prompt-attachments.ts'

/** Stores and fetches a hub's artifacts for one of its runners. */
export class HubArtifacts implements ArtifactSink, AttachmentSource {
  readonly #hub: HubRequests

  constructor(hub: HubRequests) {
    this.#hub = hub
  }

  get retry(): HubRetry {
    return this.#hub.retry
  }

  async put(
    { attempt_id }: AttemptSpec,
    { bytes, sha256, name }: Artifact,
    file: string,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#hub.send(
      `runner-artifacts/${encodeURIComponent(attempt_id)}?sha256=${sha256}&bytes=${bytes}`,
      {
        method: 'PUT',
        headers: { 'content-type': 'application/octet-stream' },
        body: await openAsBlob(file),
      },
      `${name} could not be sent to the hub`,
      signal,
    )
  }

  async get(runId: string, artifactId: string, signal: AbortSignal): Promise<Readable> {
    const path = `runner-artifacts/${encodeURIComponent(runId)}/${encodeURIComponent(artifactId)}`
    const what = `The artifact ${artifactId} of ${runId} could not be fetched from the hub`
    return await this.#hub.body(path, what, signal)
  }

  async attachment(runId: string, id: string, signal: AbortSignal): Promise<Readable> {
    const path = `runner-attachments/${encodeURIComponent(runId)}/${encodeURIComponent(id)}`
    const what = `The attachment ${id} of ${runId} could not be fetched from the hub`
    return await this.#hub.body(path, what, signal)
  }
}
