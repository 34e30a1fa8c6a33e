import * as z from 'zod'
import { MAX_NAME, nameFault } from './names.ts'

const checked = (fault: (text: string) => string | undefined) =>
  z.string().superRefine((text, context) => {
    const message = fault(text)
    if (message !== undefined) context.addIssue({ code: 'custom', message })
  })

/** Makes a schema for the name of a repository, a workflow … */
export const plainName = (most: number) =>
  checked((name) => nameFault(name, most)).meta({ minLength: 1, maxLength: most })

export const PlainName = plainName(MAX_NAME)

/** A version, or the value of a label; it may be empty. */
export const PlainText = checked((value) => (value === '' ? undefined : nameFault(value, MAX_NAME)))

/** Labels by their names. */
export const Labels = z.record(PlainName, PlainText)
