import assert from 'node:assert/strict'
import { test } from 'node:test'
import { shownStatus, shownStep } from './shown.ts'

test('a run is shown by its current state: a question before a wait, and a wait only if nothing of it works', () => {
  const since = '2026-01-01T00:00:00.000Z'
  const now = { question: { kind: 'agent' as const, step: 'one', text: 'May I?' } }
  const table = [
    [{ status: 'queued', waiting: 'another run', waiting_since: since }, 'queued'],
    [{ status: 'running' }, 'running'],
    [{ status: 'running', waiting: 'no runner for two' }, 'running'],
    [{ status: 'running', waiting: 'no runner', waiting_since: since }, 'room'],
    [{ status: 'running', waiting_since: since }, 'waiting'],
    [{ status: 'running', now }, 'asks'],
    [{ status: 'running', now, waiting_since: since }, 'asks'],
    [{ status: 'success', waiting_since: since }, 'success'],
    [{ status: 'running', set_aside: { since, why: 'x' } }, 'aside'],
  ] as const
  for (const [run, expected] of table) assert.equal(shownStatus(run), expected, JSON.stringify(run))
})

test('a step and an instance are shown by their current state', () => {
  const asking = { host: 'a', status: 'waiting' as const, asks: true as const, attempts: [] }
  const table = [
    [{ status: 'queued' }, 'ahead'],
    [{ status: 'running' }, 'running'],
    [{ status: 'waiting' }, 'waiting'],
    [{ status: 'waiting', waiting: 'no runner' }, 'room'],
    [{ status: 'waiting', approval: { message: 'go?' } }, 'asks'],
    [{ status: 'waiting', instances: [asking] }, 'asks'],
    [{ status: 'running', instances: [asking] }, 'asks'],
    [{ status: 'success' }, 'success'],
  ] as const
  for (const [step, expected] of table)
    assert.equal(shownStep(step as Parameters<typeof shownStep>[0]), expected, JSON.stringify(step))
})
