// Texts of the Build page.
export default {};
