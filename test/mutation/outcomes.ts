// What comes after the outcome
import '../after-outcome.test.ts'
import '../signals.test.ts'
import '../retry.test.ts'
