import { useEffect, useRef, useState } from 'react'
import type { AgentModel } from '../../src/contract/agent.ts'
import { ApiError, newKey } from '../data/api.ts'
import { giveInput } from '../data/sessions.ts'

interface Props {
  run: string
  step: string | undefined
  model: string | undefined
  /** Models that the agent has reported. */
  models: readonly AgentModel[]
  /** Increases with each answer of the agent. */
  answers: number
}

/** Shows the session's model and lets a person switch it. It shows the model that the agent has confirmed. */
export function ModelChoice({ run, step, model, models, answers }: Props) {
  const [requested, setRequested] = useState<{ model: string; answers: number }>()
  const [failure, setFailure] = useState<string>()
  const key = useRef<{ model: string; key: string }>(undefined)
  useEffect(() => {
    setRequested((was) => (was !== undefined && answers > was.answers ? undefined : was))
  }, [answers])
  const choose = async (next: string) => {
    if (requested !== undefined || next === model) return
    setRequested({ model: next, answers })
    setFailure(undefined)
    if (key.current?.model !== next) key.current = { model: next, key: newKey() }
    try {
      await giveInput(run, { model: next, step }, key.current.key)
      key.current = undefined
    } catch (error) {
      if (error instanceof ApiError && error.status !== 0) key.current = undefined
      setFailure((error as Error).message)
      setRequested(undefined)
    }
  }
  const known = models.some(({ id }) => id === model)
  return (
    <span className="flex min-w-0 items-center gap-2">
      <select
        aria-label="Model"
        title="The model of this session. A change applies from the next call."
        className="h-6 max-w-44 truncate rounded border border-transparent bg-transparent text-ink2 hover:border-line2 hover:text-ink"
        value={model ?? ''}
        aria-busy={requested !== undefined}
        onChange={({ target }) => void choose(target.value)}
      >
        {!known && <option value={model ?? ''}>{model ?? 'default model'}</option>}
        {models.map(({ id, name }) => (
          <option key={id} value={id}>
            {name ?? id}
          </option>
        ))}
      </select>
      {requested !== undefined && <span role="status">switching to {requested.model}…</span>}
      {failure !== undefined && (
        <span role="alert" className="truncate text-bad" title={failure}>
          {failure}
        </span>
      )}
    </span>
  )
}
