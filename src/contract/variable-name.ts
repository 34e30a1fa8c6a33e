import * as z from './mini-zod.ts'

/** A variable's name, as a process's environment takes it. */
export const VarName = z
  .string()
  .check(
    z.regex(
      /^[A-Za-z_][A-Za-z0-9_]{0,127}$/,
      'a variable name is letters, digits and "_", not starting with a digit',
    ),
  )
