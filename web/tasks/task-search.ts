export const taskTabs = ['diff', 'steps', 'log', 'artifacts', 'tries'] as const
export type TaskTab = (typeof taskTabs)[number]

/** A view of a task, as in its address. */
export interface TaskSearch {
  tab?: TaskTab
  /** The file whose change is shown. */
  file?: string
  /** `base`, or the number of a commit. */
  against?: string
  /** The number of a try, for steps and log. */
  try?: string
  /** The step whose log is shown. */
  step?: string
}

export function taskSearch(search: Record<string, unknown>): TaskSearch {
  const { tab, file, against, try: number, step } = search
  return {
    ...(taskTabs.includes(tab as TaskTab) && tab !== 'diff' ? { tab: tab as TaskTab } : {}),
    ...(typeof file === 'string' && file !== '' ? { file } : {}),
    ...(typeof against === 'string' && /^[1-9]\d{0,5}$/.test(against) ? { against } : {}),
    ...(typeof number === 'string' && /^\d{1,6}$/.test(number) ? { try: number } : {}),
    ...(typeof step === 'string' && step !== '' ? { step } : {}),
  }
}
