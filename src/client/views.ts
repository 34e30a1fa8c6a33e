import type {
  CreateViewInput,
  Failures,
  MarkSeen,
  PatchView,
  SavedView,
  SeenFailures,
  ViewList,
} from '../contract/runs/saved-views.ts'
import type { HubHttp } from './http.ts'

/** Manages saved filters of the list of runs, and the failures that the caller has not looked at. */
export class ViewsClient {
  readonly #http: HubHttp

  constructor(http: HubHttp) {
    this.#http = http
  }

  /** Lists the caller's own views and the shared ones; `shared` selects only the latter or the former. */
  list(filter: { shared?: boolean } = {}): Promise<ViewList> {
    return this.#http.json('GET /api/views', { query: filter })
  }

  /** Saves a view. Saving an identical one again returns the existing one. Throws `conflict` when the name is taken. */
  save(view: CreateViewInput): Promise<SavedView> {
    return this.#http.json('POST /api/views', { body: view })
  }

  change(id: string, change: PatchView): Promise<SavedView> {
    return this.#http.json('PATCH /api/views/:id', { params: { id }, body: change })
  }

  remove(id: string): Promise<void> {
    return this.#http.done('DELETE /api/views/:id', { params: { id } })
  }

  failures(options: { limit?: number } = {}): Promise<Failures> {
    return this.#http.json('GET /api/me/failures', { query: options })
  }

  markSeen(which: MarkSeen): Promise<SeenFailures> {
    return this.#http.json('POST /api/me/seen', { body: which })
  }
}
