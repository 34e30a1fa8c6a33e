import type { OutputValues } from '../attempts/output-values.ts'
import type { Masker } from '../masking/masker.ts'
import type { Baseline } from './baseline.ts'
import type { Session } from './session.ts'

/** What a step's outputs may be taken from, beside its streams. */
export async function tellValues(
  values: OutputValues,
  { answer, valueJson, changedPaths }: Session,
  baseline: Baseline,
  masker: Masker | undefined,
): Promise<void> {
  values.tell('answer', masker?.maskText(answer) ?? answer)
  if (valueJson !== undefined)
    values.tell('value', masker ? JSON.stringify(masker.maskJson(JSON.parse(valueJson))) : valueJson)
  if (!values.wants('files')) return
  const files = await baseline.changed(changedPaths)
  values.tell('files', JSON.stringify(masker?.maskJson(files) ?? files))
}
