import { keep, stored } from '../data/stored.ts'

/** Stores drafts of new runs, sessions and tasks until they are started. */

export interface WorkflowDraft {
  text: string
  /** Values of inputs and other variables, by name. */
  values: Record<string, string>
  /** Source of the text and values, as in the address's `from`. */
  from?: string
  /** The repository that the run is for. */
  repository?: string
}

const WORKFLOW = 'new.workflow'

const texts = (value: unknown): Record<string, string> =>
  Object.fromEntries(
    Object.entries((value ?? {}) as object).filter(
      (entry): entry is [string, string] => typeof entry[1] === 'string',
    ),
  )

const keyOf = (from: string | undefined) => (from === undefined ? WORKFLOW : `${WORKFLOW}.from`)

/** Returns the draft for an address: there is one for plain `/new`, and one for the last `from`. */
export function storedWorkflow(from: string | undefined): WorkflowDraft | undefined {
  const draft = stored(keyOf(from)) as Partial<WorkflowDraft> | null
  if (typeof draft?.text !== 'string' || draft.from !== from) return undefined
  const { text, repository } = draft
  return {
    text,
    values: texts(draft.values),
    ...(from !== undefined && { from }),
    ...(typeof repository === 'string' && { repository }),
  }
}

export const keepWorkflow = (draft: WorkflowDraft): void => keep(keyOf(draft.from), draft)

/** Returns the stored draft of a form by name; fields that are not stored are taken from `none`. */
export function storedForm<Form extends object>(name: string, none: Form): Form {
  const form = stored(`new.${name}`)
  return typeof form === 'object' && form !== null ? { ...none, ...form } : none
}

export const keepForm = (name: string, form: object | undefined): void => keep(`new.${name}`, form)
