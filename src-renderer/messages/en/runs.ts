// Texts of the runs page.
export default {};
