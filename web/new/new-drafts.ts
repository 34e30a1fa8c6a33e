import { keep, kept } from '../data/kept.ts'

/** Drafts of what is to be run, until it is. */

export interface WorkflowDraft {
  text: string
  /** Of inputs and other variables, by name. */
  values: Record<string, string>
  /** Where text and values came from, as `from` of the address has it. */
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

/** The draft of that address: one for `/new` alone, and the one that was begun last from something else. */
export function keptWorkflow(from: string | undefined): WorkflowDraft | undefined {
  const draft = kept(keyOf(from)) as Partial<WorkflowDraft> | null
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

/** The draft of a form, by its name; what is not kept is as in `none`. */
export function keptForm<Form extends object>(name: string, none: Form): Form {
  const form = kept(`new.${name}`)
  return typeof form === 'object' && form !== null ? { ...none, ...form } : none
}

export const keepForm = (name: string, form: object | undefined): void => keep(`new.${name}`, form)
