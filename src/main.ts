#!/usr/bin/env -S node --disable-sigusr1
// The process: it alone reads and changes it. Signals are caught before anything else is loaded, so what comes after
// is imported when it is needed.

import { catchSignals } from './control/signals.ts'

const signals = catchSignals(process)
// What pkill and ps know it by.
process.title = 'myserver'

const { answerOptions } = await import('./options.ts')
const answer = answerOptions(process.argv.slice(2), process.env)
if (answer !== undefined) {
  process.stdout.write(answer.out)
  process.stderr.write(answer.err)
  process.exit(answer.code)
}

const { readConfig } = await import('./config.ts')
const { run, endWith } = await import('./run.ts')
try {
  await run(readConfig(process.env), signals, process)
} catch (error) {
  endWith(error, process)
}
