// Look-ups and pages
import '../scalar-value.test.ts'
import '../look-ups.test.ts'
import '../pagination.test.ts'
import '../pagination-schemas.test.ts'
