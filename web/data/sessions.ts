import type { InputAccepted, RunInput } from '../../src/contract/agent-api.ts'
import { ask, request } from './api.ts'

/** Gives something to the agent of a run; the key makes it safe to send it again. */
export const giveInput = (run: string, input: RunInput, idempotencyKey: string) =>
  ask<InputAccepted>('POST', `/api/runs/${encodeURIComponent(run)}/input`, {
    body: { ...input, input_id: idempotencyKey },
    idempotencyKey,
  })

/** Stores a file for a prompt at the hub; answers its id. The same again is the same. */
export async function storeAttachment(name: string, media_type: string, file: Blob): Promise<string> {
  const query = { name, media_type, type: 'attachment' }
  const response = await request('POST', '/api/store/artifacts', { query, bytes: file })
  const { uri } = (await response.json()) as { uri: string }
  return uri.slice(uri.lastIndexOf('/') + 1)
}

const FILES = 'errand.draft.files.'
interface Kept {
  key: string
  name: string
  media_type: string
  id?: string
}

/** The files of a prompt that was not sent: those that the hub has. */
export function keptAttached(run: string): Kept[] {
  try {
    const kept: unknown = JSON.parse(localStorage.getItem(FILES + run) ?? '[]')
    return Array.isArray(kept) ? kept.filter((one) => typeof one?.id === 'string') : []
  } catch {
    return []
  }
}

export function keepAttached(run: string, files: readonly Kept[]): void {
  const kept = files.filter(({ id }) => id !== undefined)
  try {
    if (kept.length === 0) localStorage.removeItem(FILES + run)
    else localStorage.setItem(FILES + run, JSON.stringify(kept))
  } catch {
    // They live as long as the page.
  }
}

const KEY = 'errand.draft.prompt.'

/** The prompt that was typed for a run and not sent: it survives a reload. */
export function keptPrompt(run: string): string {
  try {
    return localStorage.getItem(KEY + run) ?? ''
  } catch {
    return ''
  }
}

export function keepPrompt(run: string, text: string): void {
  try {
    if (text === '') localStorage.removeItem(KEY + run)
    else localStorage.setItem(KEY + run, text)
  } catch {
    // It lives as long as the page.
  }
}
