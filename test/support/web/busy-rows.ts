import { setTimeout as sleep } from 'node:timers/promises'
import type { Locator, Page } from 'playwright-core'
import type { ErrandClient } from '../../../src/client/client.ts'
import type { WorkflowFile } from '../../../src/contract/workflow.ts'

const noop = (name: string) => ({ name, action: 'noop' })
const workflow = (name: string, steps: object[]) => ({ version: 'v0.1', name, steps }) as WorkflowFile

/**
 * Creates runs that stay in a list for long. Their rows change in place, and a third of them asks a person at the end.
 */
export async function makeLongRuns(client: ErrandClient, count: number): Promise<void> {
  for (let at = 0; at < count; at++) {
    const many = {
      ...noop('many'),
      foreach: Array.from({ length: 400 }, (_, item) => String(item)),
      max_parallel: 1,
    }
    const approval = { name: 'asks', action: 'approval.wait', args: { timeout_seconds: 20 } }
    await client.runs.create({ workflow: workflow('long', at % 3 === 0 ? [many, approval] : [many]) })
  }
}

/**
 * Creates one run after another, each as soon as the one before is accepted. They succeed, fail and ask a person.
 * Returns a function that stops it.
 */
export function makeManyRuns(client: ErrandClient): () => Promise<void> {
  let isOver = false
  const lane = async (name: string, steps: object[], pauseMs: number) => {
    while (!isOver) {
      await client.runs.create({ workflow: workflow(name, steps) })
      await sleep(pauseMs)
    }
  }
  const lanes = [
    lane('good', [noop('one')], 0),
    lane('good', [noop('one'), noop('two')], 0),
    lane('fails', [{ name: 'one', action: 'cmd.run', args: { cmd: 'exit 3' } }], 50),
    lane('asks', [{ name: 'one', action: 'approval.wait', args: { timeout_seconds: 2 } }], 50),
  ]
  return async () => {
    isOver = true
    await Promise.all(lanes)
  }
}

/**
 * Runs in a page before its own scripts. Counts the rows that its stream reports, long tasks and late frames, and
 * notes what is under the pointer.
 */
const watching = `(() => {
  const seen = (globalThis.busyRows = { rows: 0, longMs: 0, frames: 0, late: 0, under: [], at: undefined })
  const real = fetch
  globalThis.fetch = async (input, init) => {
    const response = await real(input, init)
    if (!String(input).includes('/api/events?') || !response.ok) return response
    const decoder = new TextDecoder()
    const counting = new TransformStream({
      transform(chunk, controller) {
        seen.rows += decoder.decode(chunk, { stream: true }).split('event: run\\n').length - 1
        controller.enqueue(chunk)
      },
    })
    return new Response(response.body.pipeThrough(counting), response)
  }
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) seen.longMs = Math.max(seen.longMs, duration)
  }).observe({ type: 'longtask' })
  let last
  const look = (now) => {
    if (seen.at !== undefined) {
      seen.frames++
      if (now - last > 34) seen.late++
      const row = document.elementFromPoint(seen.at.x, seen.at.y)?.closest('[data-run]')
      const under = row === null || row === undefined ? 'no row' : row.dataset.run + ' at ' + row.getBoundingClientRect().y
      if (seen.under.at(-1) !== under) seen.under.push(under)
    }
    last = now
    requestAnimationFrame(look)
  }
  requestAnimationFrame(look)
})()`

/** Counts of a list since the pointer came to rest on a row. */
export interface BusyRows {
  /** The number of rows that the stream has reported. */
  rows: number
  /** The longest task of the page, in ms. */
  longMs: number
  frames: number
  /** Frames that took more than 34 ms. */
  late: number
  /** The rows that were under the pointer, each with its place: one, if nothing moves. */
  under: string[]
}

/** Installs the counters. Call it before the page is opened. */
export const watchBusyRows = (page: Page): Promise<unknown> => page.addInitScript(watching)

/** Puts the pointer on a row and resets the counters. */
export async function restOn(page: Page, row: Locator): Promise<void> {
  await row.hover()
  const { x, y, width, height } = (await row.boundingBox())!
  const at = JSON.stringify({ x: x + width / 2, y: y + height / 2 })
  await page.evaluate(
    `Object.assign(busyRows, { rows: 0, longMs: 0, frames: 0, late: 0, under: [], at: ${at} })`,
  )
}

export const busyRows = (page: Page): Promise<BusyRows> => page.evaluate('busyRows')
