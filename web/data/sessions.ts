import type { InputAccepted, RunInput } from '../../src/contract/agent-api.ts'
import { ask, request } from './api.ts'
import { keep, stored } from './stored.ts'

/** Sends an input to the agent of a run; the key makes it safe to send it again. */
export const giveInput = (run: string, input: RunInput, idempotencyKey: string) =>
  ask<InputAccepted>('POST', `/api/runs/${encodeURIComponent(run)}/input`, {
    body: { ...input, input_id: idempotencyKey },
    idempotencyKey,
  })

/** Stores a file for a prompt at the hub and returns its id. The same file gets the same id. */
export async function storeAttachment(name: string, media_type: string, file: Blob): Promise<string> {
  const query = { name, media_type, type: 'attachment' }
  const response = await request('POST', '/api/store/artifacts', { query, bytes: file })
  const { uri } = (await response.json()) as { uri: string }
  return uri.slice(uri.lastIndexOf('/') + 1)
}

interface StoredPrompt {
  key: string
  name: string
  media_type: string
  id?: string
}

/** Returns the files of an unsent prompt that the hub already has. */
export function storedAttachments(run: string): StoredPrompt[] {
  const files = stored(`files.${run}`)
  return Array.isArray(files) ? files.filter((one) => typeof one?.id === 'string') : []
}

export function keepAttached(run: string, files: readonly StoredPrompt[]): void {
  const stored = files.filter(({ id }) => id !== undefined)
  keep(`files.${run}`, stored.length === 0 ? undefined : stored)
}

/** Returns the unsent prompt that was typed for a run. */
export function storedPrompt(run: string): string {
  const text = stored(`prompt.${run}`)
  return typeof text === 'string' ? text : ''
}

export const keepPrompt = (run: string, text: string): void => keep(`prompt.${run}`, text || undefined)
