import { clipped } from '../../agents/clipped.ts'
import { type AgentUpdate, MAX_UPDATE_BYTES } from '../../contract/agent.ts'

/** The update as it is, or with its longest texts cut so that it is within the limit. */
export function boundedUpdate(update: AgentUpdate): AgentUpdate {
  let bounded = update
  for (let mostBytes = 64 * 1024; size(bounded) > MAX_UPDATE_BYTES && mostBytes >= 64; mostBytes /= 2)
    bounded = cut(update, mostBytes, Math.max(4, mostBytes / 64)) as AgentUpdate
  return bounded
}

const size = (update: AgentUpdate): number => {
  const text = JSON.stringify(update)
  return text.length * 3 <= MAX_UPDATE_BYTES ? text.length : Buffer.byteLength(text)
}

function cut(value: unknown, mostBytes: number, mostItems: number): unknown {
  if (typeof value === 'string') return clipped(value, mostBytes)
  if (Array.isArray(value)) return value.slice(0, mostItems).map((each) => cut(each, mostBytes, mostItems))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [key, cut(each, mostBytes, mostItems)]),
  )
}
