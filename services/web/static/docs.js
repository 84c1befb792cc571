// /docs: the API's description in Swagger UI. Nothing is asked of another host: no validator, no remote files.
SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#viewer",
  deepLinking: true,
  validatorUrl: null,
  defaultModelsExpandDepth: 0,
});
