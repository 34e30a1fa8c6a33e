import type { InputAccepted, RunInput } from '../../src/contract/agent-api.ts'
import { ask } from './api.ts'

/** Gives something to the agent of a run; the key makes it safe to send it again. */
export const giveInput = (run: string, input: RunInput, idempotencyKey: string) =>
  ask<InputAccepted>('POST', `/api/runs/${encodeURIComponent(run)}/input`, {
    body: { ...input, input_id: idempotencyKey },
    idempotencyKey,
  })

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
