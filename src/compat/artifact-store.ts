import { openAsBlob } from 'node:fs'
import { StoredArtifact } from '../contract/tasks/services.ts'
import { ServiceCaller, type ServiceOptions } from './service-caller.ts'

/** An artifact for the store; `type` is one of the store's words, such as `diff`, `log` or `test`. */
export interface ToStore {
  name: string
  type: string
  metadata?: Record<string, unknown>
  content: { file: string } | { bytes: Uint8Array<ArrayBuffer> | string }
}

/** Client of an external artifact store, with the usual path and fields: `POST /artifacts` of a form. */
export class ArtifactStoreClient {
  readonly #service: ServiceCaller

  constructor(options: ServiceOptions) {
    this.#service = new ServiceCaller('artifact store', options)
  }

  get url(): string {
    return this.#service.url
  }

  /** Stores an artifact; resolves with its URI in the store. Throws as `ServiceCaller` does. */
  put(artifact: ToStore, signal?: AbortSignal): Promise<StoredArtifact> {
    const body = () => formOf(artifact)
    return this.#service.post({ path: 'artifacts', body, answer: StoredArtifact, signal })
  }
}

async function formOf({ name, type, metadata = {}, content }: ToStore): Promise<FormData> {
  const form = new FormData()
  const blob = 'file' in content ? await openAsBlob(content.file) : new Blob([content.bytes])
  form.set('file', blob, name)
  form.set('type', type)
  form.set('metadata', JSON.stringify(metadata))
  return form
}
