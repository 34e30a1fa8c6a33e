import { useQuery } from '@tanstack/react-query'
import { ApiError } from '../data/api.ts'
import { getWorkflow } from '../data/runs.ts'
import { exampleOf, exampleText } from './examples.ts'
import { storedWorkflow, type WorkflowDraft } from './new-drafts.ts'

/** The origin of a new run: an earlier run or an example. */
export interface Source {
  yaml: string
  given: Record<string, string>
  left_out: readonly string[]
  repository?: string | undefined
}

const hello = `version: v0.1
name: hello
steps:
  - name: greet
    action: cmd.run
    args: {cmd: echo "hello from Errand"}
  - name: count
    action: shell.run
    args:
      script: |
        for i in $(seq 1 10); do
          echo "line $i of 10"; sleep 0.3
        done
  - name: done
    action: cmd.run
    args: {cmd: echo bye}
`

async function readSource(from: string, signal: AbortSignal): Promise<Source> {
  const example = exampleOf(from)
  const refuse = (message: string, hint: string) =>
    new ApiError(404, { error: { code: 'not_found', message, hint } })
  if (example !== undefined) {
    const yaml = await exampleText(example)
    if (yaml === undefined) throw refuse(`Example ${example} not found.`, 'Choose one from the list.')
    return { yaml, given: {}, left_out: [] }
  }
  const { yaml, given = {}, left_out = [], repository } = await getWorkflow(from, signal)
  if (yaml === undefined)
    throw refuse(`${from} is not a run of a workflow.`, 'Start a session or a task again from its own page.')
  return { yaml, given, left_out, repository }
}

/** Reads the source that the address's `from` names; `error` says that there is none. */
export function useSource(from: string | undefined): { of?: Source; error?: ApiError; isReading: boolean } {
  const { data, error } = useQuery<Source, ApiError>({
    queryKey: ['new-from', from],
    queryFn: ({ signal }) => readSource(from!, signal),
    enabled: from !== undefined,
    staleTime: Number.POSITIVE_INFINITY,
    retry: (count, { status }) => status === 0 && count < 2,
  })
  if (data !== undefined) return { of: data, isReading: false }
  if (error !== null) return { error, isReading: false }
  return { isReading: from !== undefined }
}

/** Returns the draft that the page starts with: text typed here before, else the source. */
export function firstDraft(from: string | undefined, source: Source | undefined): WorkflowDraft {
  const stored = storedWorkflow(from)
  if (stored !== undefined) return stored
  if (source === undefined) return { text: hello, values: {} }
  const { yaml, given, repository } = source
  return { text: yaml, values: given, ...(from && { from }), ...(repository && { repository }) }
}
